"""Over spacy-transformers' own component: bcrf_ner listens to it, and it reads what pre-training writes."""

import pytest
import spacy
from pretraining_samples import new_training, pretraining, write_toy
from samples import TRAIN
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Adam, Config, fix_random_seed
from tiny_transformers import transformer_folder

pytest.importorskip("spacy_transformers")

CONFIG = """
[nlp]
lang = "en"
pipeline = ["transformer","bcrf_ner"]

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = "NAME"
tokenizer_config = {"use_fast": true}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 32
stride = 20

[components.bcrf_ner]
factory = "bcrf_ner"

[components.bcrf_ner.model]
@architectures = "spacy_crfner.CRFTagger.v1"

[components.bcrf_ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.bcrf_ner.model.tok2vec.pooling]
@layers = "reduce_mean.v1"
"""


def make(folder, **settings):
    fix_random_seed(0)
    config = Config().from_str(CONFIG.replace("NAME", folder))
    config["components"]["bcrf_ner"].update(settings)
    nlp = load_model_from_config(config, auto_fill=True)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    return nlp, examples


def test_bcrf_ner_listens_to_it(tmp_path):
    nlp, examples = make(transformer_folder("bert"), r_drop=0.0)
    optimizer = Adam(0.01)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer, drop=0.0)
    assert nlp.evaluate(examples)["ents_f"] > 0.8
    texts = [example.text for example in examples]
    found = [[(e.text, e.label_, e._.confidence) for e in doc.ents] for doc in nlp.pipe(texts)]
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    loaded = [[(e.text, e.label_, pytest.approx(e._.confidence, abs=1e-4)) for e in d.ents] for d in again.pipe(texts)]
    assert found == loaded


def test_r_drop_is_left_out_with_a_word_and_its_component_learns():
    with pytest.warns(UserWarning, match="R-Drop is left out: set r_drop = 0.0 in its config"):
        nlp, examples = make(transformer_folder("bert"), r_drop=0.5)
    (shim,) = [shim for node in nlp.get_pipe("transformer").model.walk() for shim in node.shims]
    before = {name: weights.clone() for name, weights in shim._model.state_dict().items()}
    optimizer = Adam(0.01)
    for _ in range(2):
        nlp.update(examples, sgd=optimizer, drop=0.1)
    assert any((before[name] != weights).any() for name, weights in shim._model.state_dict().items())


@pytest.mark.parametrize("begins", ["with a model", "from scratch"])
def test_it_reads_what_pre_training_writes(begins, tmp_path):
    train = pretraining if begins == "with a model" else new_training
    train(tmp_path / "model", write_toy(tmp_path)).run()
    nlp, examples = make(str(tmp_path / "model"), r_drop=0.0)
    nlp.update(examples, sgd=Adam(0.01))
    assert nlp(examples[0].text).has_annotation("ENT_IOB")
