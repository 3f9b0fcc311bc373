"""Word vectors of the text at hand, for a language that has none.

They are floret vectors (https://github.com/explosion/floret), which hash the parts of words, so that there is one for
every word, in a spaCy pipeline that holds nothing else.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Iterator, List, Sequence

import spacy
from spacy.language import Language
from spacy.training.initialize import convert_vectors

from ..extras import require
from ..files import replacing
from ..raw_text import doc_words, load_tokenizer, read_words
from ..text_files import CorpusError
from .reading import read_docs


@dataclass(frozen=True)
class VectorSettings:
    """How vectors are trained.

    width: features of a word.
    rows: of the table that the parts of words share.
    least: times a word must occur to be learned from.
    epochs: passes over the text.
    threads: with one, the same text gives the same vectors.
    """

    width: int = 100
    rows: int = 20000
    least: int = 5
    epochs: int = 10
    threads: int = 1


def train_vectors(
    output: Path,
    language: str,
    text: Sequence[Path],
    annotated: Sequence[Path],
    settings: VectorSettings,
    tell: Callable[[str], None],
) -> None:
    """Train floret vectors on the words of all files and write a pipeline that holds them.

    output: folder of the pipeline; one that is there is replaced when all is done, and stays as it is after an error.
        One with components is not replaced.
    language: code of the spaCy language.
    text: files with a sentence a line, .gz or plain, in UTF-8.
    annotated: columns, JSON lines, or files in spaCy's binary format.
    tell: takes a line on how far it is.
    Raises CorpusError where a file cannot be read, there are no words, or the language is unknown; ImportError without
    floret; OSError where the folder cannot be written, or holds something else.
    """
    floret = require("floret", "vectors", "Training word vectors")
    _check_output(output)
    nlp = load_tokenizer(language)
    # Now, not after the training: an output that cannot be written is noticed here.
    with replacing(output) as (unfinished,), TemporaryDirectory(prefix="spacy-crfner-") as folder:
        words, table = Path(folder) / "words.txt", Path(folder) / "vectors.floret"
        count = _write_words(words, nlp, text, annotated)
        if not count:
            raise CorpusError("There are no words to learn from: give --text or --annotated files that hold some.")
        tell(f"{count:,} words, {settings.epochs} passes over them")
        model = floret.train_unsupervised(
            str(words),
            model="skipgram",
            mode="floret",
            hashCount=2,
            bucket=settings.rows,
            dim=settings.width,
            minn=3,
            maxn=5,
            minCount=settings.least,
            epoch=settings.epochs,
            thread=settings.threads,
            verbose=0,
        )
        model.save_floret_vectors(str(table))
        # Another vocab than the one that has read the text: the pipeline holds vectors alone.
        trained = spacy.blank(language)
        convert_vectors(trained, table, truncate=0, prune=-1, mode="floret")
        trained.to_disk(unfinished)


def _check_output(output: Path) -> None:
    """Raise FileExistsError where there is something that is not to be replaced."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    try:
        meta = json.loads((output / "meta.json").read_bytes())
        pipes = [*meta["pipeline"], *meta.get("disabled", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pipes = None
    if pipes is None or not (output / "vocab").is_dir():
        raise FileExistsError(f"{output}: this holds no pipeline, and is not replaced by one: choose another folder.")
    if pipes:
        raise FileExistsError(
            f"{output}: this holds a pipeline with components ({', '.join(map(str, pipes))}), and is not replaced by "
            "one with vectors alone: choose another folder."
        )


def _write_words(target: Path, nlp: Language, text: Sequence[Path], annotated: Sequence[Path]) -> int:
    """Write the words of each sentence, or annotated Doc, to a line of their own. Returns how many they are."""
    count = 0
    with target.open("w", encoding="utf8") as file:
        for words in _read_words(nlp, text, annotated):
            count += len(words)
            file.write(" ".join(words) + "\n")
    return count


def _read_words(nlp: Language, text: Sequence[Path], annotated: Sequence[Path]) -> Iterator[List[str]]:
    yield from read_words(text, nlp)
    for path in annotated:
        if path.suffix == ".spacy":
            yield from read_words([path], nlp)
        else:
            yield from (doc_words(read.doc) for read in read_docs(path, language=nlp.lang or "xx").docs)
