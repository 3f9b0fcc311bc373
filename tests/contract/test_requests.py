"""A server gives requests to several threads that share one pipeline: each gets what it would get alone."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from random_docs import random_doc
from samples import TRAIN
from setups import SETUPS

THREADS = 8
SHARED = ("own_encoders", "routed_shared")


@pytest.fixture(params=[setup for setup in SETUPS if setup.name in SHARED], ids=lambda setup: setup.name)
def setup(request):
    return request.param


def answer(doc):
    """What a server would send: entities in characters, with their confidences."""
    ents = [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]
    return ents, np.array([ent._.confidence for ent in doc.ents], dtype=float)


def requests(nlp, count):
    """Single texts, most of them short, some of many sentences, some odd."""
    rng = random.Random(0)
    texts = [text for text, _ in TRAIN]
    for number in range(count):
        if rng.random() < 0.2:
            yield random_doc(nlp.vocab, number).text
        else:
            yield " ".join(rng.choices(texts, k=rng.choice([1, 1, 1, 2, 5, 12])))


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_requests_of_many_threads(nlp, load, count):
    texts = list(requests(nlp, count))
    alone = load()
    expected = [answer(alone(text)) for text in texts]
    assert sum(bool(ents) for ents, _ in expected) > count / 2
    begin = threading.Barrier(THREADS)

    def serve(number):
        begin.wait()
        return [answer(nlp(text)) for text in texts[number::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(serve, range(THREADS)))
    for number, answers in enumerate(found):
        for (ents, scores), (wanted, numbers) in zip(answers, expected[number::THREADS], strict=True):
            assert ents == wanted
            np.testing.assert_allclose(scores, numbers, rtol=0.0, atol=1e-4)
