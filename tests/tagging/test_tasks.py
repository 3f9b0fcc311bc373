"""Tasks and heads are parts that a component of its own can be made of; sentences count as much as readers say."""

import numpy as np
import pytest
import spacy
from samples import TRAIN
from spacy.tokens import DocBin
from spacy.training import Corpus, Example
from spacy.util import fix_random_seed
from thinc.api import Adam, Model

from spacy_crfner.components.weights import doc_weights
from spacy_crfner.corpora.augment import make_upper_case_v1
from spacy_crfner.crf.losses import make_nll_v1
from spacy_crfner.encoders.bilstm import build_bilstm_v1
from spacy_crfner.encoders.word_char_embed import build_word_char_embed_v1
from spacy_crfner.tagging.decoders import viterbi_decoder
from spacy_crfner.tagging.head import build_head, initialize_head
from spacy_crfner.tagging.model import HEADS, heads_of
from spacy_crfner.tagging.pipe import CRFPipe
from spacy_crfner.tagging.scorer import score_entities
from spacy_crfner.tagging.task import CRFTask
from spacy_crfner.user_data_keys import WEIGHT
from spacy_crfner.wrapping import layer_width


def examples(nlp):
    return [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]


# A component with two tasks over one encoder


def forward(model, docs, is_train):
    vectors, backprop_vectors = model.get_ref("tok2vec")(docs, is_train)
    scores, backprops = zip(*(head(vectors, is_train) for head in heads_of(model)), strict=True)

    def backprop(gradients):
        by_head = [backprop(gradient) for backprop, gradient in zip(backprops, gradients, strict=True)]
        return backprop_vectors([sum(of_doc) for of_doc in zip(*by_head, strict=True)])

    return list(scores), backprop


def init(model, X=None, Y=None):
    model.get_ref("tok2vec").initialize(X=X)
    for head in heads_of(model):
        initialize_head(head, layer_width(model.get_ref("tok2vec"), X))


class TwoTasks(CRFPipe):
    def __init__(self, nlp, name, **tasks):
        tok2vec = build_bilstm_v1(
            build_word_char_embed_v1(char_rows=1100, hash_rows=(500,) * 4, hash_noise=0.0), width=64
        )
        heads = {key: build_head() for key in tasks}
        layers = {"tok2vec": tok2vec, **heads}
        model = Model("two_heads", forward, init=init, layers=list(layers.values()), refs=layers)
        model.attrs[HEADS] = list(heads)
        super().__init__(nlp.vocab, model, name, {}, state={"tasks": {}})
        parts = {"loss": make_nll_v1(), "decoder": viterbi_decoder}
        self.tasks = [CRFTask(self, key, settings, **parts) for key, settings in tasks.items()]
        self.scorer = score_entities


def two_tasks(people=(), rest=()):
    nlp = spacy.blank("en")
    tasks = {
        "people": {"label_filter": ["PER"], "spans_key": "people", "scheme": "BIO", **dict(people)},
        "rest": {"label_filter": ["LOC", "ORG"], "spans_key": "rest", **dict(rest)},
    }
    return nlp, TwoTasks(nlp, "two", **tasks)


def test_a_component_with_two_tasks_over_one_encoder():
    nlp, pipe = two_tasks()
    data = examples(nlp)
    pipe.initialize(lambda: data, nlp=None)
    assert [task.labels for task in pipe.tasks] == [("PER",), ("LOC", "ORG")]
    assert [len(task.tag_set) for task in pipe.tasks] == [3, 9]
    optimizer = Adam(0.01)
    for _ in range(60):
        pipe.update(data, sgd=optimizer)
    scores = pipe.score(
        [Example(pipe(nlp.make_doc(text)), e.reference) for (text, _), e in zip(TRAIN, data, strict=True)]
    )
    assert scores["spans_people_f"] == scores["spans_rest_f"] == 1.0
    again = two_tasks()[1].from_bytes(pipe.to_bytes())
    doc, copy = pipe(nlp.make_doc(TRAIN[0][0])), again(nlp.make_doc(TRAIN[0][0]))
    for key in ("people", "rest"):
        assert [str(span) for span in copy.spans[key]] == [str(span) for span in doc.spans[key]]
        np.testing.assert_allclose(copy.spans[key].attrs["scores"], doc.spans[key].attrs["scores"], rtol=1e-5)
    assert doc.spans["people"][0]._.confidence > 0.5


def test_parts_of_a_batch_teach_all_tasks_what_the_batch_teaches():
    found = []
    for parts in ([8], [3, 1, 4]):
        fix_random_seed(0)
        nlp, pipe = two_tasks()
        data = examples(nlp)[:8]
        pipe.initialize(lambda data=data: data, nlp=None)
        for size in parts:
            pipe.update(data[:size], sgd=None)
            data = data[size:]
        gradients = {}

        def collect(key, weights, gradient, gradients=gradients):
            gradients[key[1]] = gradients.get(key[1], 0.0) + np.abs(gradient).sum()
            return weights, gradient

        pipe.finish_update(collect)
        found.append(gradients)
    assert found[0] and found[1] == pytest.approx(found[0], rel=1e-4)


def test_settings_of_a_task_are_checked_and_changed_at_loading():
    nlp, pipe = two_tasks()
    pipe.initialize(lambda: examples(nlp), nlp=None)
    pipe.tasks[1].cfg["n_best"] = 3
    again = two_tasks(people={"threshold": 0.5})[1].from_bytes(pipe.to_bytes())
    assert again.tasks[0].cfg["threshold"] == 0.5 and again.tasks[1].cfg["n_best"] == 3
    assert [task.labels for task in again.tasks] == [("PER",), ("LOC", "ORG")]
    # The scheme belongs to the weights.
    assert two_tasks(people={"scheme": "BIOES"})[1].from_bytes(pipe.to_bytes()).tasks[0].cfg["scheme"] == "BIO"
    pipe.tasks[0].cfg["threshold"] = 7.0
    with pytest.raises(ValueError, match=r"threshold of 'two.people' must be a number from 0 to 1"):
        pipe(nlp.make_doc("Anna left ."))
    with pytest.raises(TypeError, match=r"'two.people' has no setting thresh"):
        two_tasks(people={"thresh": 0.5})


def test_only_one_task_writes_doc_ents():
    nlp, pipe = two_tasks(people={"spans_key": None}, rest={"spans_key": None})
    with pytest.raises(ValueError, match=r"two\.people and two\.rest would all write doc\.ents"):
        pipe.initialize(lambda: examples(nlp), nlp=None)


def test_labels_of_tasks_go_by_their_keys():
    nlp, pipe = two_tasks()
    pipe.initialize(lambda: examples(nlp), nlp=None, labels={"people": ["PER"], "rest": ["LOC", "ORG"]})
    assert pipe.label_data == {"people": ["PER"], "rest": ["LOC", "ORG"]}
    with pytest.raises(ValueError, match="have no entry 'rest', only people"):
        pipe.initialize(lambda: examples(nlp), nlp=None, labels={"people": ["PER"]})


def test_the_encoder_gets_the_gradients_of_both_tasks():
    nlp, pipe = two_tasks()
    data = examples(nlp)
    pipe.initialize(lambda: data, nlp=None)
    nodes = list(pipe.model.get_ref("tok2vec").walk())
    by_tasks = []
    for keep in ((0, 1), (0,), (1,)):
        scores, backprop = pipe.model.begin_update([example.predicted for example in data])
        _, gradients = pipe.get_loss(data, scores)
        for number, gradient in enumerate(gradients):
            for array in (*gradient.emissions, gradient.start, gradient.transitions, gradient.end):
                array *= number in keep
        backprop(gradients)
        by_tasks.append([node.get_grad(name).copy() for node in nodes for name in node.param_names])
        for node in nodes:
            for name in node.param_names:
                node.set_grad(name, np.zeros_like(node.get_param(name)))
    assert any(np.abs(gradient).max() > 1e-3 for gradient in by_tasks[0])
    for both, first, second in zip(*by_tasks, strict=True):
        np.testing.assert_allclose(both, first + second, atol=1e-5)


# Weights of sentences


@pytest.fixture
def tagger():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("bcrf_ner", config={"r_drop": 0.0, "model": {"tok2vec": {"tok2vec": {"hash_noise": 0.0}}}})
    data = examples(nlp)
    nlp.initialize(lambda: data)
    return nlp, pipe


def gradient_of(pipe, data):
    scores, _ = pipe.model.begin_update([example.predicted for example in data])
    return pipe.get_loss(data, scores)


@pytest.mark.parametrize("incorrect", [False, True])
def test_a_weight_of_two_is_the_sentence_twice_and_of_none_its_absence(tagger, incorrect):
    nlp, pipe = tagger
    if incorrect:
        pipe.cfg["incorrect_spans_key"] = "wrong"
    data = examples(nlp)[:3]
    for example in data:
        example.reference.spans["wrong"] = [example.reference[3:4]]
    plain, plain_gradient = gradient_of(pipe, [data[0], data[0], data[1]])
    for example, weight in zip(data, (2.0, 1, 0.0), strict=True):
        example.predicted.user_data[WEIGHT] = weight
    loss, gradient = gradient_of(pipe, data)
    assert loss == pytest.approx(plain, rel=1e-5)
    for part in ("start", "transitions", "end"):
        np.testing.assert_allclose(getattr(gradient, part), getattr(plain_gradient, part), atol=1e-6)
    np.testing.assert_allclose(gradient.emissions[0], 2 * plain_gradient.emissions[0], atol=1e-6)
    np.testing.assert_allclose(gradient.emissions[2], 0.0)


def test_sentences_without_weight_teach_nothing(tagger):
    nlp, pipe = tagger
    data = examples(nlp)
    for example in data:
        example.predicted.user_data[WEIGHT] = 0
    before = pipe.model.to_bytes()
    assert nlp.update(data, sgd=Adam(0.1, L2=0.0)) == {"bcrf_ner": 0.0}
    assert pipe.model.to_bytes() == before


def test_weights_come_with_saved_docs_and_stay_with_copies(tagger, tmp_path):
    """spaCy's own readers and our augmenter pass them on."""
    nlp, _ = tagger
    docs = [example.reference for example in examples(nlp)[:2]]
    docs[0].user_data[WEIGHT] = 0.25
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "train.spacy")
    read = Corpus(tmp_path / "train.spacy", augmenter=make_upper_case_v1(1.0))
    assert doc_weights(list(read(nlp))).tolist() == [0.25, 0.25, 1.0, 1.0]
    # What is annotated on the predicted Doc counts before it.
    (first, *_) = Corpus(tmp_path / "train.spacy")(nlp)
    first.predicted.user_data[WEIGHT] = 2
    assert doc_weights([first]).tolist() == [2.0]
    assert doc_weights(examples(nlp)) is None


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1e300, "1"])
def test_weights_that_are_none(tagger, weight):
    nlp, _ = tagger
    data = examples(nlp)
    data[0].predicted.user_data[WEIGHT] = weight
    with pytest.raises(
        ValueError, match=r"user_data\['spacy_crfner.weight'\] of 'Anna Kell met .* a number from 0 to 1,000,000"
    ):
        nlp.update(data, sgd=Adam(0.1))
