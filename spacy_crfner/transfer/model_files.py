"""Models of the Hugging Face library and their tokenizers: saved as files."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..files import Files, read_files
from ..model_folders import CONFIG

WEIGHTS, TOKENIZER_CONFIG = "model.safetensors", "tokenizer_config.json"


def tokenizer_files(tokenizer: Any) -> Files:
    """Save a tokenizer."""
    with TemporaryDirectory(prefix="spacy-crfner-") as folder:
        tokenizer.save_pretrained(folder)
        return read_files(folder)


def model_files(model: Any) -> Files:
    """Save config and weights of a model, as safetensors in one file."""
    with TemporaryDirectory(prefix="spacy-crfner-") as folder:
        model.save_pretrained(folder, safe_serialization=True, max_shard_size="1000GB")
        return {name: (Path(folder) / name).read_bytes() for name in (CONFIG, WEIGHTS)}
