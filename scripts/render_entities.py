"""Draw the entities that an installed pipeline finds, with their probabilities, as a displaCy page."""

import argparse
from pathlib import Path

from installed import load_installed
from spacy import displacy
from spacy.tokens import Doc
from spacy.training import Corpus

COLORS = {"PER": "#f4c2a1", "ORG": "#a9c8ef", "LOC": "#b9dfb4", "MISC": "#d9c7ec"}


def as_displacy(doc: Doc) -> dict:
    """A Doc in displaCy's own format; the label of each entity shows its probability."""
    ents = [
        {"start": ent.start_char, "end": ent.end_char, "label": f"{ent.label_} {ent._.confidence:.2f}"}
        for ent in doc.ents
    ]
    return {"text": doc.text, "ents": ents, "title": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", help="name of the package, such as en_bcrf_news")
    parser.add_argument("--target", type=Path, required=True, help="folder that it was installed into")
    parser.add_argument("--corpus", type=Path, required=True, help=".spacy file whose texts are drawn")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--limit", type=int, default=50, help="how many Docs (default: 50)")
    args = parser.parse_args()
    nlp = load_installed(args.package, args.target)
    docs = [example.predicted for example in Corpus(args.corpus, limit=args.limit)(nlp)]
    drawn = [as_displacy(doc) for doc in nlp.pipe(docs)]
    shown = {ent["label"]: COLORS.get(ent["label"].split()[0], "#dddddd") for page in drawn for ent in page["ents"]}
    html = displacy.render(drawn, style="ent", page=True, manual=True, jupyter=False, options={"colors": shown})
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(html, encoding="utf-8")
    print(f"{args.output}: {len(drawn)} Docs, {sum(len(page['ents']) for page in drawn)} entities")


if __name__ == "__main__":
    main()
