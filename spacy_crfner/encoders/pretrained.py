"""Models of the Hugging Face library and their tokenizers, read from a folder or the hub, and checked."""

from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, Iterator

import torch

from ..extras import require
from ..model_folders import CONFIG, has_tokenizer, is_pipeline
from .transformer_module import quiet


@contextmanager
def reading(name: str, user: str) -> Iterator[Any]:
    """Give the transformers library, to read a model with; whatever it raises becomes one ValueError.

    name: a folder, or a name on the Hugging Face hub. user: who needs the library, as messages begin.
    """
    transformers = require("transformers", "transformers", user)
    if name[:1] in (".", "/", "~") and not Path(name).is_dir():
        home = ", since ~ stands for nothing here: write the whole path" if name[0] == "~" else ""
        raise ValueError(f"{user} cannot read the model {name!r}: there is no such folder{home}.")
    try:
        with quiet(transformers):
            _check_folder(Path(name))
            yield transformers
    # The library raises exceptions of many kinds.
    except Exception as error:
        said = shorten(str(error), 300, placeholder=" ...").rstrip(".")
        where = "" if Path(name).is_dir() else ", since there is no such folder, from the Hugging Face hub"
        raise ValueError(
            f"{user} cannot use the model {name!r}{where} ({said}): give the name of an encoder such as BERT on the "
            "Hugging Face hub, or a folder that save_pretrained has written with its fast tokenizer."
        ) from None


def _check_folder(folder: Path) -> None:
    """Look whether a folder, if there is one, can be read from. Raises ValueError for what the library names badly."""
    if folder.is_dir() and not (folder / CONFIG).exists():
        raise ValueError(f"there is {'a spaCy pipeline' if is_pipeline(folder) else f'no {CONFIG}'} in this folder")
    if folder.is_dir() and not has_tokenizer(folder):
        raise ValueError("there is no tokenizer in this folder")


def check_tokenizer(tokenizer: Any, rows: int) -> None:
    """Check that a tokenizer is a fast one, for a model that knows so many pieces. Raises ValueError."""
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer")
    if max(tokenizer.get_vocab().values()) >= rows:
        raise ValueError(f"its tokenizer has more pieces than the {rows} that the model knows")


def check_encoder_weights(model: Any, missing: Any) -> None:
    """Check that no weights are missing but those of a head or of a layer that pools. Raises ValueError."""
    inside = f"{model.base_model_prefix}." if model.base_model is not model else ""
    absent = [
        name for name in missing if name.startswith(inside) and "pooler" not in name and "position_ids" not in name
    ]
    if absent:
        raise ValueError(f"it holds no weights for {absent[0]} and {len(absent) - 1} others")


@torch.no_grad()
def check_encoder(encoder: Any) -> None:
    """Check that the state of a piece depends on all pieces of a text, also on those behind it. Raises ValueError.

    encoder: of the library, without a head.
    """
    config = encoder.config
    if config.is_encoder_decoder or getattr(config, "hidden_size", None) is None:
        raise ValueError(f"a model of the type {config.model_type!r} is no encoder of text")
    device, training = next(encoder.parameters()).device, encoder.training
    # Pieces from the middle of the vocabulary: those at its ends may be padding.
    ids = torch.arange(8, device=device)[None] + encoder.get_input_embeddings().num_embeddings // 2
    changed = ids.clone()
    changed[0, -1] = ids[0, 0]
    encoder.eval()
    try:
        first, second = (encoder(input_ids=own, attention_mask=torch.ones_like(own))[0][0, 0] for own in (ids, changed))
    finally:
        encoder.train(training)
    if torch.equal(first, second):
        raise ValueError(
            f"a model of the type {config.model_type!r} reads from left to right alone, so that it does not know what "
            "follows a word"
        )
