"""A pipeline says what must be installed where it is used, and `spacy package` asks for it."""

import json

import pytest
import spacy
from samples import SMALL_MODEL, TRAIN, english_ner
from spacy.cli.package import package
from spacy.training import Example
from tiny_transformers import transformer_folder

TRANSFORMER = {
    "@architectures": "spacy_crfner.Transformer.v1",
    "name": transformer_folder("bert"),
    "window": 60,
    "stride": 40,
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "tok2vec"}


def initialized(*pipes, **settings):
    nlp = spacy.blank("en")
    for factory, config in pipes:
        nlp.add_pipe(factory, config=config)
    nlp.config["initialize"]["components"] = settings
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN])
    return nlp


def reads(tok2vec):
    return {"model": {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": tok2vec}}


@pytest.mark.parametrize(
    "pipes",
    [
        [("bcrf_ner", reads(TRANSFORMER))],
        [("tok2vec", {"model": TRANSFORMER}), ("bcrf_ner", reads(LISTENER))],
        [("tok2vec", {"model": TRANSFORMER}), ("weak_class_router", {"weak_labels": ["ORG"]}), ("bcrf_ner", {})],
    ],
)
def test_a_transformer_is_a_requirement_of_the_package(pipes, tmp_path):
    nlp = initialized(*pipes)
    # As another training of it would.
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN])
    nlp.to_disk(tmp_path / "pipeline")
    package(tmp_path / "pipeline", tmp_path, name="people", version="1.0.0", create_sdist=False, silent=True)
    meta = json.loads((tmp_path / "en_people-1.0.0" / "meta.json").read_text())
    assert meta["requirements"][0] == "spacy-crfner[transformers]"
    assert sum("transformers" in requirement for requirement in meta["requirements"]) == 1


def test_what_needs_nothing_asks_for_nothing():
    assert "requirements" not in initialized(("bcrf_ner", SMALL_MODEL)).meta


def test_parts_of_back_attention_have_requirements_too(monkeypatch):
    parts = {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": english_ner()}
    nlp = initialized(("back_attention", {}), back_attention=parts)
    assert "requirements" not in nlp.meta
    pipe = nlp.get_pipe("back_attention")
    monkeypatch.setattr(type(pipe.translator), "extra", "translation", raising=False)
    pipe.english.nlp.add_pipe("tok2vec", config={"model": TRANSFORMER})
    pipe.initialize(lambda: [], nlp=nlp)
    assert nlp.meta["requirements"] == ["spacy-crfner[transformers]", "spacy-crfner[translation]"]
