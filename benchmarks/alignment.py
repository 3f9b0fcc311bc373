r"""How well a translator carries names over.

How many words of entities stand in the translation as they are, and how often the attention of those that it has
translated so is highest there. On parallel text: BLEU, and how often the attention of a name that stands in both sides
is highest at itself. With examples.

Example:
    python benchmarks/alignment.py --corpus conll2002-es --lang es --translator training/es-en \
        --parallel tatoeba-es-en --show 20
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Sequence, Set

import torch
from experiments.corpora import open_corpus, read_docs
from experiments.options import make_parser, positive, program
from experiments.record import DATA_VARIABLE, write_result
from spacy.vocab import Vocab

from spacy_crfner.back_attention.alignment import between_words
from spacy_crfner.back_attention.conv_translator import ConvTranslator
from spacy_crfner.back_attention.names import PROTECT, looks_like_name, protect
from spacy_crfner.back_attention.parallel_text import Pair, read_pairs
from spacy_crfner.back_attention.pieces import BEGIN
from spacy_crfner.back_attention.translation import Translation, cut
from spacy_crfner.back_attention.translator_training import bleu
from spacy_crfner.back_attention.translators import make_conv_seq2seq_v1
from spacy_crfner.training_loop import LOG

parser = make_parser(__doc__, "name", required=["corpus", "lang"])
parser.add_argument("--translator", required=True, type=Path, metavar="PATH", help="folder of a translator")
parser.add_argument("--parallel", metavar="NAME", help="folder of parallel text, below that of the corpora")
parser.add_argument("--limit", type=positive(int), default=500, metavar="N", help="sentences of each kind (500)")
parser.add_argument("--show", type=int, default=0, metavar="N", help="print so many sentences, translated")
parse_args = parser.parse_args


def repeated_words(translator: ConvTranslator, words: Sequence[str]) -> Set[int]:
    """Find the indices of the words that a translator repeats instead of translating them."""
    settings, start = translator.settings, 0
    indices: Set[int] = set()
    for part in cut(words, settings["longest"]):
        _, spans = protect(part, translator.known, settings["protect"], settings["names"])
        indices.update(start + index for span in spans for index in range(*span))
        start += len(part)
    return indices


def count_names(
    sentences: Sequence[Any], translations: Sequence[Translation], repeated: Sequence[Set[int]]
) -> Dict[str, float]:
    """Count the words of entities, and which shares of them a translation holds as they are, and repeats.

    Those that it repeats have all of their attention at themselves; of those that it has translated to themselves, the
    share whose attention is highest there is counted. repeated: the indices of repeated words in each sentence.
    """
    kept, again, right = [], [], []
    for doc, translation, own in zip(sentences, translations, repeated, strict=True):
        for token in (token for token in doc if token.ent_type_):
            kept.append(token.text in translation.words)
            again.append(token.i in own)
            if kept[-1] and not again[-1]:
                right.append(translation.words[int(translation.attention[token.i].argmax())] == token.text)
    return {
        "words": len(kept),
        "kept": share(kept),
        "repeated": share(again),
        "translated_to_itself": len(right),
        "peak_at_itself": share(right),
    }


def share(counted: Sequence[float]) -> float:
    return round(sum(counted) / max(1, len(counted)), 4)


@torch.no_grad()
def count_shared_names(translator: ConvTranslator, pairs: Sequence[Pair]) -> Dict[str, Any]:
    """Count the names in both sides of pairs whose attention is highest at themselves.

    Names are words that look so and stand once in either side; the network reads the translation that is given, with no
    name that stands for itself. Beside the share of all of them, the mean over distinct words, since a few are most.
    """
    peaks: Dict[str, List[bool]] = {}
    for source, target in pairs:
        once = {word for word in source if source.count(word) == target.count(word) == 1}
        shared = [word for word in source if looks_like_name(word) and word in once]
        if not shared:
            continue
        source_ids, places = translator.pieces.encode(source)
        target_ids, target_places = translator.pieces.encode(target)
        _, attention = translator.model(torch.tensor([source_ids]), torch.tensor([[BEGIN, *target_ids[:-1]]]))
        own = attention[0, : len(target_places), : len(places)].numpy()
        words = between_words(own, places, target_places, (len(source), len(target)))
        for word in shared:
            peaks.setdefault(word, []).append(int(words[source.index(word)].argmax()) == target.index(word))
    every = [peak for word in peaks.values() for peak in word]
    by_word = share([sum(word) / len(word) for word in peaks.values()])
    fields = {"words": len(every), "distinct": len(peaks)}
    return {**fields, "peak_at_itself": share(every), "peak_at_itself_by_word": by_word}


def run(args: argparse.Namespace) -> Path:
    with open_corpus(args, needed=["dev"]) as corpus:
        docs = [doc for doc in read_docs(corpus.files["dev"], Vocab()) if doc.ents][: args.limit]
    sentences = [[token.text for token in doc] for doc in docs]
    names: Dict[str, Any] = {}
    for how in PROTECT:
        translator = make_conv_seq2seq_v1(args.translator, protect=how)
        translations = translator.translate(sentences)
        names[how] = count_names(docs, translations, [repeated_words(translator, words) for words in sentences])
        print(f"protect = {how!r}: {names[how]}", flush=True)
        for words, translation in list(zip(sentences, translations, strict=True))[: args.show]:
            print(f"    {' '.join(words)}\n    {' '.join(translation.words)}\n")
    score, shared = None, None
    if args.parallel is not None:
        folder = Path(os.environ.get(DATA_VARIABLE, "")) / "parallel" / args.parallel
        pairs = read_pairs(folder / f"test.{args.lang}.gz", folder / "test.en.gz", args.lang)
        translator = make_conv_seq2seq_v1(args.translator)
        score = round(bleu(translator, pairs[: args.limit]), 2)
        shared = count_shared_names(translator, pairs)
        print(f"BLEU on test: {score}; names that both sides share: {shared}")
    # The evaluations of a translator's training stand beside it.
    log = args.translator / LOG
    training = [json.loads(line) for line in log.read_text(encoding="utf8").splitlines()] if log.exists() else []
    fields: Dict[str, Any] = {"training": training, "bleu": score, "shared_names": shared, "names": names}
    name, options = args.name or f"alignment-{args.corpus}", ("corpus", "lang", "parallel")
    return write_result(args, "alignment", name, options, sentences=len(sentences), **fields)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
