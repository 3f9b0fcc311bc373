"""Draw the entities that a pipeline finds, coloured by label and probability, as a page for a browser."""

import argparse
from collections import Counter
from html import escape
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import spacy
from installed import load_installed
from spacy import displacy
from spacy.tokens import Doc
from spacy.training import Corpus

COLORS = {"PER": "230,159,0", "ORG": "86,180,233", "LOC": "0,158,115", "MISC": "204,121,167"}
OTHERS = ("213,94,0", "150,150,60", "0,114,178", "140,110,180", "120,120,120")
"""Red, green and blue; those of the labels of a corpus of one's own, in turn."""

UNKNOWN = "no probability: found by another component"
SCALE = (0.0, 0.25, 0.5, 0.75, 1.0)


def background(color: str, confidence: Optional[float]) -> str:
    """The CSS colour of an entity: the stronger, the more probable; white where nothing is known."""
    return "#fff" if confidence is None else f"rgba({color},{0.1 + 0.7 * confidence:.2f})"


def colors_of(docs: Sequence[Doc]) -> Dict[str, str]:
    """A colour for each label, in the order of the alphabet."""
    labels = sorted({ent.label_ for doc in docs for ent in doc.ents})
    others = [label for label in labels if label not in COLORS]
    mixed = {label: OTHERS[place % len(OTHERS)] for place, label in enumerate(others)}
    return {label: COLORS.get(label, mixed.get(label, "")) for label in labels}


def as_displacy(doc: Doc, colors: Dict[str, str]) -> dict:
    """A Doc in displaCy's own format; `params` are what the template of an entity needs."""
    ents = []
    for ent in doc.ents:
        confidence = ent._.confidence
        params = {
            "bg": background(colors[ent.label_], confidence),
            "edge": f"rgb({colors[ent.label_]})",
            "style": "dashed" if confidence is None else "solid",
            "number": "-" if confidence is None else f"{confidence:.2f}",
            "meaning": UNKNOWN if confidence is None else f"probability {confidence:.4f}",
        }
        ents.append({"start": ent.start_char, "end": ent.end_char, "label": escape(ent.label_), "params": params})
    return {"text": doc.text, "ents": ents, "title": None}


def make_page(docs: Sequence[Doc], title: str, source: str) -> str:
    """A whole HTML page: what it shows, a legend, and the Docs as a numbered list."""
    colors = colors_of(docs)
    options = {"template": ENTITY}
    drawn = [
        displacy.render(as_displacy(doc, colors), style="ent", manual=True, jupyter=False, options=options)
        for doc in docs
    ]
    counts = Counter(ent.label_ for doc in docs for ent in doc.ents)
    unknown = any(ent._.confidence is None for doc in docs for ent in doc.ents)
    labels = "".join(
        f'<span class="chip" style="background:{background(color, 0.7)};border-color:rgb({color})">{escape(label)}'
        f" <small>{counts[label]:,}</small></span>"
        for label, color in colors.items()
    )
    scale = "".join(
        f'<span class="step" style="background:{background("120,120,120", value)}">{value:g}</span>' for value in SCALE
    )
    return PAGE.format(
        title=escape(title),
        source=escape(source),
        docs=f"{len(docs):,}",
        ents=f"{counts.total():,}",
        labels=labels or "none was found",
        scale=scale,
        unknown=UNKNOWN_IN_LEGEND if unknown else "",
        items="\n".join(f"<li>{text.strip()}</li>" for text in drawn),
    )


def load(model: str, target: Optional[Path]) -> spacy.language.Language:
    return spacy.load(model) if target is None else load_installed(model, target)


def main(arguments: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="folder or package of a pipeline, such as training/news/model-best")
    parser.add_argument("--target", type=Path, help="the folder that the package was installed into, if it was")
    parser.add_argument("--corpus", type=Path, required=True, help=".spacy file whose texts are drawn")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--title", help="heading of the page (default: the name of the pipeline)")
    parser.add_argument("--limit", type=int, default=50, help="how many Docs (default: 50)")
    args = parser.parse_args(arguments)
    nlp = load(args.model, args.target)
    docs = list(nlp.pipe(example.predicted for example in Corpus(args.corpus, limit=args.limit)(nlp)))
    found = sum(len(doc.ents) for doc in docs)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    title = args.title or f"Entities found by {nlp.meta['lang']}_{nlp.meta['name']}"
    args.output.write_text(make_page(docs, title, str(args.corpus)), encoding="utf-8")
    print(f"{args.output}: {len(docs)} Docs, {found} entities; open it in a browser")


ENTITY = (
    '<mark style="background:{bg};border-color:{edge};border-style:{style}" title="{label}, {meaning}">{text}'
    "<span>{label} {number}</span></mark>"
)

UNKNOWN_IN_LEGEND = f'<span class="chip" style="background:#fff;border-style:dashed">- {UNKNOWN}</span>'

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62em; margin: 2em auto; padding: 0 1.5em; }}
h1 {{ font-size: 1.5em; margin: 0 0 .3em; }}
p {{ margin: .4em 0; }}
.legend {{ background: #f6f6f6; border-radius: .5em; padding: .7em 1em; margin: 1em 0 1.4em; }}
.legend b {{ display: inline-block; min-width: 7em; font-weight: 600; }}
.chip {{ display: inline-block; border: 1px solid #888; border-radius: .3em; padding: 0 .5em; margin-right: .5em; }}
.chip small {{ color: #555; }}
.step {{ display: inline-block; width: 3.4em; text-align: center; font-size: .85em; line-height: 1.7; }}
ol {{ padding-left: 2.6em; }}
li {{ border-bottom: 1px solid #eee; padding: .1em 0; }}
li::marker {{ color: #999; font-size: .8em; }}
.entities {{ line-height: 2.1 !important; }}
mark {{ color: inherit; border: 1px solid; border-radius: .3em; padding: .12em .35em; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; }}
mark span {{ font-size: .7em; font-weight: 600; margin-left: .45em; color: #333; white-space: nowrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{docs} texts of {source}, {ents} entities. The number behind a label is the probability that the model gives the
entity; the stronger the colour, the more probable. It is the model's own estimate, and not calibrated.</p>
<div class="legend">
<p><b>Labels</b>{labels}{unknown}</p>
<p><b>Probability</b>{scale}</p>
</div>
<ol>
{items}
</ol>
</body>
</html>
"""


if __name__ == "__main__":
    main()
