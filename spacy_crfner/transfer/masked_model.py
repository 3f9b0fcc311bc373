"""A transformer with its tokenizer that finds masked pieces again.

Devlin et al. 2019, https://arxiv.org/abs/1810.04805
"""

from dataclasses import dataclass
from typing import Any, Optional

import torch
from thinc.util import get_torch_default_device
from torch import Tensor, nn

from ..encoders.pretrained import check_encoder, check_encoder_weights, check_tokenizer, reading
from ..extras import require
from ..torch_state import in_usual_torch

USER = "Pre-training"


@dataclass(frozen=True, eq=False)
class MaskedModel:
    """What pre-training begins with.

    model, tokenizer: of the transformers library: a model with a head for masked pieces, and a fast tokenizer.
    new_head: whether the head has random weights, since the model came without one.
    """

    model: Any
    tokenizer: Any
    new_head: bool = False


@in_usual_torch
def read_masked_model(name: str, seed: int = 0) -> MaskedModel:
    """Read a model with its tokenizer, in single precision. A model without a head for masked pieces gets a new one.

    The last layer of a new head is tied to the embeddings of the pieces, as the library does it for each kind.

    name: a folder, or a name on the Hugging Face hub. seed: of the weights of a new head.
    Raises ValueError where there is no model, or none for masked pieces, or its tokenizer has no piece for a mask;
    ImportError where the transformers library is missing.
    """
    with reading(name, USER) as transformers:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
            raise ValueError(f"a model of the type {config.model_type!r} has no head that finds masked pieces")
        torch.manual_seed(seed)
        model, loaded = transformers.AutoModelForMaskedLM.from_pretrained(
            name,
            trust_remote_code=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
            attn_implementation=attention(),
        )
        if model.base_model is model:
            raise ValueError(f"a model of the type {model.config.model_type!r} has no encoder apart from its head")
        check_encoder_weights(model, loaded["missing_keys"])
        check_encoder(model.base_model)
        check_tokenizer(tokenizer, model.get_input_embeddings().num_embeddings)
        if tokenizer.mask_token_id is None:
            raise ValueError("its tokenizer has no piece that masks others")
    # The layer that gives scores is the table of embeddings once more, which files leave out.
    new_head = any("decoder" not in key and "pooler" not in key for key in loaded["missing_keys"])
    return MaskedModel(model, tokenizer, new_head)


def attention() -> Optional[str]:
    """Choose the library's kind of attention for the default device of Thinc; None leaves it to the library.

    On a CPU the backward pass of fused attention in 16 bits takes 1.6 times as long, with blocks of 128 pieces.
    """
    return "eager" if get_torch_default_device().type == "cpu" else None


class MaskedPieces(nn.Module):
    """Scores all pieces of the vocabulary in the places of some pieces of a text, and nowhere else.

    A score for each piece of the vocabulary in every place would take seven times the time and memory of those that
    are asked for. The model's own head reads the states that a hook leaves it.

    model: of the transformers library, with a head for masked pieces.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        outputs = require("transformers.modeling_outputs", "transformers", USER)
        self._output = outputs.BaseModelOutput

    def forward(self, ids: Tensor, lengths: Tensor, places: Tensor) -> Tensor:
        """Read a batch. Returns (M, vocabulary) scores.

        ids: (texts, longest) pieces, with those that mark the ends. lengths: (texts,) of each. places: (M,) of the
        pieces to find, as indices of the flattened `ids`.
        """

        def leave_places(encoder: Any, inputs: Any, output: Any) -> Any:
            return self._output(last_hidden_state=output[0].flatten(0, 1)[places][None])

        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        hook = self.model.base_model.register_forward_hook(leave_places)
        try:
            return self.model(input_ids=ids, attention_mask=mask.long(), return_dict=True).logits[0]
        finally:
            hook.remove()
