"""Every name that setup.cfg declares is registered, and every block of the shipped configs resolves."""

import configparser
import inspect
import subprocess
import sys
from importlib import import_module
from operator import attrgetter

import pytest
import spacy
from spacy import registry
from spacy.language import Language
from spacy.util import load_config

from spacy_crfner.tagging.factory import make_bcrf_ner


def declared(root):
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg")
    for group, lines in parser["options.entry_points"].items():
        for line in lines.strip().splitlines():
            name, _, target = (part.strip() for part in line.partition("="))
            yield group, name, target


def test_every_declared_name_resolves(root):
    entries = list(declared(root))
    assert len(entries) > 10
    for group, name, target in entries:
        module, _, function = target.partition(":")
        if group == "spacy_factories":
            assert Language.has_factory(name) or spacy.blank("en").has_factory(name)
            continue
        found = registry.get(group.removeprefix("spacy_"), name)
        assert found == attrgetter(function)(import_module(module))
        if group == "spacy_cli":
            continue
        assert name.startswith("spacy_crfner.") and name.rsplit(".", 1)[1].startswith("v")


def test_everything_registered_has_a_docstring(root):
    for group, name, _ in declared(root):
        if group not in ("spacy_factories", "spacy_cli"):
            assert inspect.getdoc(registry.get(group.removeprefix("spacy_"), name)), name


def test_factory_documents_every_argument():
    text = inspect.getdoc(make_bcrf_ner)
    for argument in list(inspect.signature(make_bcrf_ner).parameters)[2:]:
        assert f"{argument}:" in text


def test_shipped_configs_fill_and_resolve(root):
    configs = sorted((root / "configs").glob("*.cfg"))
    assert configs
    for path in configs:
        config = load_config(path)
        nlp = spacy.util.load_model_from_config(config, auto_fill=False, validate=True)
        weights = config["training"]["score_weights"]
        assert sum(value for value in weights.values() if value) == pytest.approx(1.0)
        # A score that no component returns would count as 0 without a word.
        returned = {key for name in nlp.pipe_names for key in nlp.get_pipe_meta(name).default_score_weights}
        assert {key for key, value in weights.items() if value} <= returned


def test_default_config_is_the_default_of_the_factory(root):
    """The recipe says what add_pipe would do anyway: nobody has to keep two sets of numbers in mind."""
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner")
    recipe = load_config(root / "configs" / "bcrf_ner.cfg")["components"]["bcrf_ner"]
    assert nlp.config["components"]["bcrf_ner"] == recipe


def test_import_is_light():
    code = "import sys, spacy_crfner; sys.exit(any(name in sys.modules for name in ('torch', 'spacy', 'thinc')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
