"""Models of the Hugging Face library and their tokenizers, read from a folder or the hub, and checked."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from ..extras import require
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
            yield transformers
    # The library raises exceptions of many kinds.
    except Exception as error:
        said = " ".join(str(error).split()).rstrip(".")[:300]
        where = "" if Path(name).is_dir() else ", since there is no such folder, from the Hugging Face hub"
        raise ValueError(
            f"{user} cannot use the model {name!r}{where} ({said}): give the name of an encoder such as BERT on the "
            "Hugging Face hub, or a folder that save_pretrained has written with its fast tokenizer."
        ) from None


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
