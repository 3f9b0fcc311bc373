"""Everything that configs, scripts and saved Docs of users rely on: compare it with tests/snapshot.json.

`python tests/snapshot.py` says what has changed, and ends with 1 if anything has; `--update` writes the file anew.
"""

import argparse
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import spacy
import typer
from samples import ROOT, TRAIN, declared, entry_points
from spacy.language import Language
from spacy.tokens.underscore import Underscore
from spacy.training import Example

import spacy_crfner
from spacy_crfner import user_data_keys
from spacy_crfner.files import write_json
from spacy_crfner.routing.annotation import STRONG, WEAK

SNAPSHOT = ROOT / "tests" / "snapshot.json"
REQUIRED = "(required)"

CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 8,
    "depth": 1,
    "embed_size": 20,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
    "pretrained_vectors": None,
}
TAGGER = {
    "model": {"@architectures": "spacy_crfner.CRFTagger.v1", "nO": None, "tok2vec": CNN},
    "annotate": ["confidence", "marginals", "n_best"],
}
ROUTER = {"model": {"@architectures": "spacy_crfner.RCNN.v1", "width": 4, "tok2vec": CNN}, "weak_labels": ["ORG"]}


def take() -> Dict[str, Any]:
    """Read what is released off the code."""
    groups = sorted({group for group, _, _ in entry_points()})
    written, saved = look_at_pipelines()
    return {
        "package": sorted(spacy_crfner.__all__),
        "registered": {
            group: {name: arguments(function) for name, function in sorted(declared(group).items())}
            for group in groups
            if group not in ("spacy_factories", "spacy_cli")
        },
        "factories": {name: factory(name) for name in sorted(declared("spacy_factories"))},
        "extensions": extensions(),
        "user_data": {name: key for name, key in sorted(vars(user_data_keys).items()) if name.isupper()},
        "written": written,
        "sentence_labels": sorted([WEAK, STRONG]),
        "saved": saved,
        "commands": {name: commands(function) for name, function in sorted(declared("spacy_cli").items())},
    }


def arguments(function: Any) -> Dict[str, Any]:
    """Read the arguments of a registered function, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: REQUIRED if p.default is p.empty else as_json(p.default) for p in parameters}


def factory(name: str) -> Dict[str, Any]:
    meta = Language.get_factory_meta(name)
    return {
        "arguments": list(arguments(declared("spacy_factories")[name])),
        "default_config": as_json(meta.default_config),
        "default_score_weights": as_json(meta.default_score_weights),
        "assigns": list(meta.assigns),
        "requires": list(meta.requires),
        "retokenizes": meta.retokenizes,
    }


def extensions() -> Dict[str, List[str]]:
    """List the extension attributes that the package registers; nothing else has registered any in this process."""
    spacy_crfner.register_extensions()
    return {
        "Doc": sorted(Underscore.doc_extensions),
        "Span": sorted(Underscore.span_extensions),
        "Token": sorted(Underscore.token_extensions),
    }


def look_at_pipelines() -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Let each component, untrained, read a Doc and be saved.

    Returns what each writes into a Doc, and what each saves.
    """
    written: Dict[str, Any] = {}
    saved: Dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        nlp = spacy.blank("xx")
        nlp.add_pipe("bcrf_ner", config=TAGGER)
        look(nlp, Path(folder) / "english", written, saved)

        nlp = spacy.blank("xx")
        nlp.add_pipe("weak_class_router", config=ROUTER)
        for key in ("strong", "weak"):
            nlp.add_pipe("bcrf_ner", name=key, config={**TAGGER, "spans_key": key})
        nlp.add_pipe("ner_vote")
        look(nlp, Path(folder) / "routed", written, saved)

        nlp = spacy.blank("xx")
        nlp.add_pipe("back_attention")
        nlp.config["initialize"]["components"] = {
            "back_attention": {
                "translator": {"@misc": "spacy_crfner.Untranslated.v1"},
                "english": str(Path(folder) / "english"),
            }
        }
        look(nlp, Path(folder) / "back_attention", written, saved)

        for name in sorted(set(declared("spacy_factories")) - set(written)):
            nlp = spacy.blank("xx")
            nlp.add_pipe(name)
            look(nlp, Path(folder) / name, written, saved)
    return dict(sorted(written.items())), dict(sorted(saved.items()))


def look(nlp: Language, folder: Path, written: Dict[str, Any], saved: Dict[str, Any]) -> None:
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": entities}) for text, entities in TRAIN[:3]]
    nlp.initialize(lambda: examples)
    nlp.to_disk(folder)
    doc = nlp(TRAIN[0][0])
    for name in nlp.pipe_names:
        if name != nlp.get_pipe_meta(name).factory:
            continue  # a tagger beside others, which is looked at where it is alone
        attrs = doc.spans[name].attrs if name in doc.spans else {}
        written[name] = {key: kind(value) for key, value in sorted(attrs.items())}
        files = [path.relative_to(folder / name) for path in (folder / name).rglob("*") if path.is_file()]
        settings = json.loads((folder / name / "cfg").read_text(encoding="utf-8"))
        # What stands deeper is a pipeline, or files of a translator, which have tests of their own.
        saved[name] = {"cfg": sorted(settings), "files": sorted({"/".join(file.parts[:2]) for file in files})}


def kind(value: Any) -> Any:
    """Name the kind of a value in a span group's attrs, and the keys where it is made of dictionaries."""
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype}, {value.ndim} dimension(s)"
    if isinstance(value, list) and value:
        return {"list of": kind(value[0])}
    return sorted(value) if isinstance(value, dict) else type(value).__name__


def commands(app: typer.Typer) -> Dict[str, Any]:
    """Read the arguments and options of each command."""
    group: Any = typer.main.get_command(app)
    return {
        name: {" ".join(p.opts + p.secondary_opts): option(p) for p in command.params}
        for name, command in sorted(group.commands.items())
    }


def option(parameter: Any) -> Any:
    return REQUIRED if parameter.required else as_json(parameter.default)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def differences(old: Any, new: Any, path: Sequence[str] = ()) -> Iterator[str]:
    """Say what has changed, from the upper levels down: what is gone, what is new, what has another value."""
    where = " > ".join(path)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if key not in new:
                yield f"{' > '.join([*path, key])} is gone"
            elif key not in old:
                yield f"{' > '.join([*path, key])} is new"
            else:
                yield from differences(old[key], new[key], [*path, key])
        if old.keys() == new.keys() and list(old) != list(new):
            yield f"the order of {where} is now {', '.join(new)}"
    elif old != new:
        yield f"{where} was {json.dumps(old)} and is {json.dumps(new)}"


def message(changes: Sequence[str]) -> str:
    """Say in one sentence what has changed, and what to do."""
    return (
        f"What users rely on has changed ({'; '.join(changes)}): undo it, or, if it is meant, run "
        "`python tests/snapshot.py --update` and tell it in CHANGELOG.md."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write tests/snapshot.json anew")
    update = parser.parse_args().update
    new = as_json(take())
    changes = list(differences(json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}, new))
    if update:
        write_json(SNAPSHOT, new)
        print("\n".join(changes) or "Nothing has changed.")
    elif changes:
        sys.exit(message(changes))


if __name__ == "__main__":
    main()
