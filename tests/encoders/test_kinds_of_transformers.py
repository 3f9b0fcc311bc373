"""spacy_crfner.Transformer.v1 over encoders of other kinds than those of the other tests."""

import numpy as np
import pytest
import spacy
import transformers
from spacy.tokens import Doc
from thinc.api import Adam, fix_random_seed
from tiny_transformers import SIZES, make_tokenizer

from spacy_crfner.encoders.transformer import build_transformer_v1

TEXTS = ("Anna Kell met Bob in Paris.", "Bob met Harlow; the meeting in Oslo was unremarkable and long.")
SHARED = {**SIZES, "max_position_embeddings": 64}
MODERN = {"global_attn_every_n_layers": 1, "local_attention": 16, "reference_compile": False}
RELATIVE = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
MADE = {
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 64},
    "Electra": {**SHARED, "embedding_size": 8},
    "DebertaV2": {**SHARED, **RELATIVE},
    "MPNet": SHARED,
    "Albert": {**SHARED, "embedding_size": 8},
    "ModernBert": {**SHARED, **MODERN, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
}


@pytest.fixture(scope="module", params=MADE)
def folder(request, tmp_path_factory):
    fix_random_seed(0)
    tokenizer = make_tokenizer("bert")
    config = getattr(transformers, f"{request.param}Config")(vocab_size=len(tokenizer), **MADE[request.param])
    path = tmp_path_factory.mktemp(request.param)
    getattr(transformers, f"{request.param}Model")(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def test_it_reads_learns_and_is_saved(folder):
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in TEXTS]
    model = build_transformer_v1(folder, window=32, stride=20, layer_decay=0.9, rate=1.0)
    model.initialize(X=docs)
    found = model.predict(docs)
    for doc, rows in zip(docs, found, strict=True):
        assert rows.shape == (len(doc), 16) and np.abs(rows).max() > 0
        # Neither the batch nor its padding plays a part.
        np.testing.assert_allclose(model.predict([doc])[0], rows, atol=1e-5)
    _, backprop = model.begin_update(docs)
    random_state = np.random.default_rng(0)
    backprop([random_state.normal(size=rows.shape).astype("f") for rows in found])
    model.finish_update(Adam(0.01))
    learned = model.predict(docs)
    assert np.abs(learned[0] - found[0]).max() > 1e-3
    again = build_transformer_v1("not read any more", window=32, stride=20).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(again.predict(docs)[0], learned[0])


def test_a_long_text_is_read_in_windows(folder):
    model = build_transformer_v1(folder, window=32, stride=20)
    doc = Doc(spacy.blank("en").vocab, words=["Anna", "met", "Bob"] * 60)
    model.initialize(X=[doc])
    (rows,) = model.predict([doc])
    assert len(rows) == 180 and (np.abs(rows).max(axis=1) > 0).all()
