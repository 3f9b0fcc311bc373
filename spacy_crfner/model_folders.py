"""What a folder with a model of the Hugging Face library holds, told without the library."""

import json
from pathlib import Path
from typing import Any, Dict, Optional

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
OTHER_TOKENIZERS = ("vocab.txt", "vocab.json", "*.model", "*.vocab", "tekken.json")
"""From which the library makes a fast tokenizer where there is none, for most kinds of models."""


def model_config(folder: Path) -> Optional[Dict[str, Any]]:
    """Read the config of the model in a folder; None where there is none."""
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def is_model(folder: Path) -> bool:
    """Tell whether a folder holds a model of the library."""
    return "model_type" in (model_config(folder) or {})


def is_pipeline(folder: Path) -> bool:
    """Tell whether a folder holds a spaCy pipeline, or the models of a spaCy training."""
    return (folder / "config.cfg").exists() or (folder / "model-best").exists() or (folder / "model-last").exists()


def has_tokenizer(folder: Path) -> bool:
    """Tell whether there is a file in a folder that a tokenizer could be read from."""
    return (folder / TOKENIZER).exists() or any(any(folder.glob(name)) for name in OTHER_TOKENIZERS)
