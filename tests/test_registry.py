"""Every name that setup.cfg declares is registered."""

import inspect
import subprocess
import sys
from importlib import import_module
from operator import attrgetter

import spacy
from samples import entry_points
from spacy import registry
from spacy.language import Language

from spacy_crfner.tagging.factory import make_bcrf_ner


def registry_of(group):
    return group.removeprefix("spacy_").removeprefix("thinc_")


def test_every_declared_name_resolves():
    entries = list(entry_points())
    assert len(entries) > 10
    for group, name, target in entries:
        module, _, function = target.partition(":")
        if group == "spacy_factories":
            assert Language.has_factory(name) or spacy.blank("en").has_factory(name)
            continue
        found = registry.get(registry_of(group), name)
        assert found == attrgetter(function)(import_module(module))
        if group == "spacy_cli":
            continue
        assert name.startswith("spacy_crfner.") and name.rsplit(".", 1)[1].startswith("v")


def test_a_saved_translator_is_found_again_by_its_kind():
    loaders = {name: target for _, name, target in entry_points() if target.endswith(".from_files")}
    assert loaders
    for name in loaders:
        # `from_files` is bound to its class, whose `kind` a pipeline on disk names.
        assert registry.misc.get(name).__self__.kind == name


def test_spacy_alone_finds_what_thinc_registers():
    code = """if True:
        import spacy
        config = {"training": {"optimizer": {"@optimizers": "spacy_crfner.Nadam.v1", "learn_rate": {
            "@schedules": "spacy_crfner.anneal_on_plateau.v1", "rate": 0.5}}}}
        optimizer = spacy.blank("en", config=config).create_optimizer()
        assert type(optimizer).__name__ == "Nadam" and optimizer.learn_rate == 0.5
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_registered_has_a_docstring():
    for group, name, _ in entry_points():
        if group not in ("spacy_factories", "spacy_cli"):
            assert inspect.getdoc(registry.get(registry_of(group), name)), name


def test_factory_documents_every_argument():
    text = inspect.getdoc(make_bcrf_ner)
    for argument in list(inspect.signature(make_bcrf_ner).parameters)[2:]:
        assert f"{argument}:" in text


def test_import_is_light():
    """It waits for somebody else to import spaCy, which loads torch where it is installed."""
    code = "import sys, spacy_crfner; sys.exit(any(name in sys.modules for name in ('torch', 'spacy', 'thinc')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
