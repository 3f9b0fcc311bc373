"""Transformers whose vocabulary is cut to the pieces that some texts need: smaller, and cheaper to train."""

import copy
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Set

import torch
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..corpora.reading import read_docs
from ..encoders.pretrained import check_encoder, check_encoder_weights, check_tokenizer, reading
from ..encoders.transformer_module import first_position
from ..encoders.word_pieces import PieceReader
from ..extras import require
from ..files import Files, replacing, write_files
from ..model_folders import TOKENIZER, is_model
from ..raw_text import read_texts
from ..text_files import CorpusError
from ..torch_state import in_usual_torch
from .kept_pieces import as_read, needed_pieces, renumber, tokenizer_kind
from .model_files import TOKENIZER_CONFIG, model_files, tokenizer_files

USER = "Trimming a transformer"
COMPARED = 1000
"""Texts that are cut by both tokenizers before anything is written."""


@dataclass(frozen=True)
class TrimReport:
    """What has become of a model: pieces and weights before and after."""

    pieces_before: int
    pieces: int
    weights_before: int
    weights: int


@in_usual_torch
def trim_transformer(
    output: Path,
    name: str,
    text: Sequence[Path] = (),
    annotated: Sequence[Path] = (),
    language: str = "xx",
    overwrite: bool = False,
) -> TrimReport:
    """Write a transformer without the pieces that the texts of some files do not need.

    These texts are cut into the same pieces as before, and have the same states. Others are cut into shorter pieces
    where theirs are gone: all pieces of one character stay, and all special ones.

    output: folder for the model and its tokenizer. name: a folder, or a name on the Hugging Face hub.
    text: files of raw text. annotated: columns, JSON lines, or files in spaCy's binary format.
    language: code of the spaCy language, by which text is split into words: it is kept readable with a space between
        all of them too.
    overwrite: replace a model that is in the folder.
    Raises CorpusError where a file cannot be read or there is no text; ValueError where the model cannot be read, or
    its vocabulary not be cut; FileExistsError where the folder holds something else; ImportError where the
    transformers library is missing.
    """
    _check_output(output, name, overwrite)
    with reading(name, USER) as transformers:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model = _read_model(transformers, name)
        check_encoder(model.base_model)
        check_tokenizer(tokenizer, model.get_input_embeddings().num_embeddings)
        reader = PieceReader.of_transformer(copy.deepcopy(tokenizer))
        kind = tokenizer_kind(reader.tokenizer)
    kept = needed_pieces(kind, as_read(_texts(text, annotated, language), language, reader.space))
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    kept |= {own["id"] for own in description["added_tokens"]} | set(tokenizer.all_special_ids)
    kept |= _known_to_config(model)
    new = {old: number for number, old in enumerate(sorted(kept))}
    cut = json.dumps(_cut_tokenizer(description, kind.cut(kept, new), new), ensure_ascii=False)
    _compare(reader, cut, islice(as_read(_texts(text, annotated, language), language, reader.space), COMPARED))
    smaller = cut_model(model, new)
    files = {**_cut_tokenizer_files(tokenizer_files(tokenizer), cut, new), **model_files(smaller)}
    with replacing(output) as (unfinished,):
        write_files(unfinished, files)
    return TrimReport(len(tokenizer), len(new), model.num_parameters(), smaller.num_parameters())


def cut_model(model: Any, new: Dict[int, int]) -> Any:
    """Copy a model, with the rows of some pieces alone, in embeddings and in a head that scores pieces.

    model: of the transformers library. new: old number -> new one, in the same order.
    Raises ValueError where it is not known which rows are those of pieces.
    """
    config, rows = copy.deepcopy(model.config), torch.tensor(list(new))
    config.vocab_size = len(new)
    for key, value in config.to_dict().items():
        if key.endswith("_token_id") and isinstance(value, int) and value in new:
            setattr(config, key, new[value])
    smaller = type(model)(config).eval()
    old_rows, given, weights = model.get_input_embeddings().num_embeddings, model.state_dict(), {}
    for name, wanted in smaller.state_dict().items():
        weight = given[name]
        if weight.shape != wanted.shape and len(weight) == old_rows:
            weight = weight[rows]
        if weight.shape != wanted.shape:
            raise ValueError(f"{USER} does not know which rows of {name} belong to pieces: choose another model.")
        weights[name] = weight
    smaller.load_state_dict(weights)
    return smaller


def _check_output(output: Path, name: str, overwrite: bool) -> None:
    """Raise FileExistsError where there is something that is not to be replaced."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not is_model(output):
        raise FileExistsError(f"{output}: this holds no transformer and is not replaced by one: choose another folder.")
    if output.resolve() == Path(name).resolve():
        raise FileExistsError(f"{output}: this is the model that is to be trimmed: choose another folder.")
    if not overwrite:
        raise FileExistsError(f"{output}: this holds a model: choose another folder, or overwrite it (--overwrite).")


def _read_model(transformers: Any, name: str) -> Any:
    """Read a model as the class that it was saved as, in single precision: a head or a layer that pools stays."""
    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    kind = getattr(transformers, (config.architectures or ["AutoModel"])[0], transformers.AutoModel)
    model, loaded = kind.from_pretrained(name, torch_dtype=torch.float32, output_loading_info=True)
    check_encoder_weights(model, loaded["missing_keys"])
    return model.eval()


def _texts(text: Sequence[Path], annotated: Sequence[Path], language: str) -> Iterator[str]:
    """Read all texts, and the words of annotated ones with a space between them. Raises CorpusError, also for none."""
    some = False
    for one in _all_texts(text, annotated, language):
        some = True
        yield one
    if not some:
        raise CorpusError("There is no text to keep pieces for: give --text or --annotated files that hold some.")


def _all_texts(text: Sequence[Path], annotated: Sequence[Path], language: str) -> Iterator[str]:
    yield from read_texts(text)
    for path in annotated:
        if path.suffix == ".spacy":
            yield from read_texts([path])
            # All tokens, white space too, as `PieceReader` reads them.
            for doc in DocBin().from_disk(path).get_docs(Vocab()):
                yield " ".join(token.text for token in doc)
        else:
            for read in read_docs(path, language=language).docs:
                yield read.doc.text
                yield " ".join(token.text for token in read.doc)


def _known_to_config(model: Any) -> Set[int]:
    """List the pieces that the config of a model names, and those below the padding where positions depend on it."""
    values = [value for key, value in model.config.to_dict().items() if key.endswith("_token_id")]
    rows = model.get_input_embeddings().num_embeddings
    named = {value for value in values if isinstance(value, int) and 0 <= value < rows}
    return named | set(range(first_position(model)))


def _cut_tokenizer(description: Dict[str, Any], model: Dict[str, Any], new: Dict[int, int]) -> Dict[str, Any]:
    """Write the JSON of a tokenizer with fewer pieces. model: its part of that name."""
    made = {**description, "model": model, "post_processor": renumber(description["post_processor"], new)}
    made["added_tokens"] = [{**own, "id": new[own["id"]]} for own in description["added_tokens"]]
    if made.get("padding"):
        made["padding"] = {**made["padding"], "pad_id": new[made["padding"]["pad_id"]]}
    return made


def _cut_tokenizer_files(files: Files, cut: str, new: Dict[int, int]) -> Files:
    """Keep what transformers needs beside the JSON of a fast tokenizer; vocabularies in other forms are left out."""
    config = json.loads(files[TOKENIZER_CONFIG])
    added = config.get("added_tokens_decoder", {})
    config["added_tokens_decoder"] = {str(new[int(number)]): own for number, own in added.items()}
    made = {TOKENIZER: cut.encode("utf8"), TOKENIZER_CONFIG: json.dumps(config, ensure_ascii=False).encode("utf8")}
    return {**made, **{name: content for name, content in files.items() if name == "special_tokens_map.json"}}


def _compare(reader: PieceReader, cut: str, texts: Iterable[str]) -> None:
    """Check that texts are cut as before. Raises ValueError."""
    tokenizers = require("tokenizers", "transformers", USER)
    tokenizer = tokenizers.Tokenizer.from_str(cut)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    portion: List[str] = list(texts)
    for old, made in zip(reader.tokenizer.encode_batch(portion), tokenizer.encode_batch(portion), strict=True):
        if old.tokens != made.tokens:
            raise ValueError(
                "The tokenizer of this model cuts texts in another way when it has fewer pieces: train the model with "
                "all of them."
            )
