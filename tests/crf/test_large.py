"""Long and wide batches: the same results in pieces, in bounded memory, and no digits lost."""

import tracemalloc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import cases
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_crfner.crf import (
    Potentials,
    forward_backward,
    incorrect_spans,
    max_f_spans,
    n_best,
    nll,
    span_log_posteriors,
    viterbi,
    viterbi_gated,
)
from spacy_crfner.crf import gradients as gradients_module
from spacy_crfner.crf import spans as spans_module
from spacy_crfner.crf import viterbi as viterbi_function
from spacy_crfner.crf.potentials import LONG
from spacy_crfner.crf.spans import _best_disjoint
from spacy_crfner.tags import TagSet

viterbi_module = __import__("sys").modules[viterbi_function.__module__]


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(one, torch.Tensor):
                self.numel = max(self.numel, one.untyped_storage().nbytes() // one.element_size())
        return result


def random_crf(lengths, n_tags, dtype=torch.float32, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((sum(lengths), n_tags), (n_tags,), (n_tags, n_tags), (n_tags,))
    emissions, start, transitions, end = (torch.randn(shape, generator=generator) * scale for shape in shapes)
    return Potentials.build(emissions, lengths, start, transitions, end).to(dtype)


def all_spans(lengths, labels, longest):
    columns = [
        (sequence, start, end, label)
        for sequence, length in enumerate(lengths)
        for start in range(length)
        for end in range(start + 1, min(length, start + longest) + 1)
        for label in range(labels)
    ]
    return torch.tensor(columns).unbind(1)


@given(cases(), st.integers(1, 3))
def test_pieces_change_nothing(case, n):
    potentials = case.potentials()
    spans = all_spans(potentials.packing.lengths.tolist(), len(case.tag_set.labels), 3)

    def results():
        posteriors = forward_backward(potentials)
        return (
            *viterbi(potentials),
            *n_best(potentials, n),
            span_log_posteriors(posteriors, case.tag_set, *spans),
            torch.tensor(
                [span for found in max_f_spans(posteriors, case.tag_set, threshold=0.1, max_length=3) for span in found]
            ),
        )

    whole = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viterbi_module, "CANDIDATES_AT_ONCE", 1)
        patch.setattr(viterbi_module, "SORTED_AT_ONCE", 1)
        patch.setattr(spans_module, "NUMBERS_AT_ONCE", 5)
        patch.setattr(spans_module, "SPANS_AT_ONCE", 3)
        for found, expected in zip(results(), whole, strict=True):
            torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.mark.parametrize("few", [1, 16])
@pytest.mark.parametrize("at_once", [1, 60])
def test_pieces_of_several_sequences_change_nothing(monkeypatch, at_once, few):
    potentials = random_crf([7, 5, 5, 3, 2, 1, 1, 1], 4)
    far = random_crf([7, 5, 5, 3, 2, 1, 1, 1], 4, scale=400.0)
    weights = torch.rand(8)

    def results():
        logarithmic = forward_backward(far)
        counts = logarithmic.expected_transitions(weights)
        return *viterbi(potentials), *n_best(potentials, 3), logarithmic.log_partition, logarithmic.marginals, counts

    whole = results()
    monkeypatch.setattr(viterbi_module, "CANDIDATES_AT_ONCE", at_once)
    monkeypatch.setattr(viterbi_module, "SORTED_AT_ONCE", at_once)
    monkeypatch.setattr(viterbi_module, "FEW", few)
    for found, expected in zip(results(), whole, strict=True):
        torch.testing.assert_close(found, expected)


def test_copies_in_pieces_change_nothing(monkeypatch):
    tag_set = TagSet(("A",))
    potentials = random_crf([6, 4, 4, 2], len(tag_set), torch.float64)
    gold = torch.zeros(16, dtype=torch.int64)
    spans = all_spans([6, 4, 4, 2], 1, 2)

    def results():
        return viterbi_gated(potentials, gold), incorrect_spans(potentials, gold - 1, tag_set, *spans)

    whole = results()
    monkeypatch.setattr(gradients_module, "COPY_SCORES", 30)
    for found, expected in zip(results(), whole, strict=True):
        for part in ("loss", "emissions", "transitions"):
            torch.testing.assert_close(getattr(found, part), getattr(expected, part))


@pytest.mark.parametrize("scale", [1.0, 400.0])
def test_nothing_grows_with_sequences_times_tags_squared(scale):
    n_sequences, n_tags = 300, 151
    potentials = random_crf([3] * n_sequences, n_tags, scale=scale)
    bound = max(3 * n_sequences * n_tags * 3, viterbi_module.CANDIDATES_AT_ONCE)
    assert bound < n_sequences * n_tags**2
    with Largest() as largest:
        viterbi(potentials)
        n_best(potentials, 3)
        forward_backward(potentials).expected_transitions()
        nll(potentials, torch.zeros(3 * n_sequences, dtype=torch.int64))
    assert largest.numel <= bound


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_a_long_span_among_short_ones_costs_its_own_length(scheme):
    tag_set = TagSet(tuple("ABCD"), scheme)
    length, short = 3_000, 1_000
    potentials = random_crf([length], len(tag_set))
    starts = torch.arange(short)
    columns = [torch.zeros(short + 1, dtype=torch.int64), torch.cat([starts, torch.tensor([0])])]
    columns += [torch.cat([starts + 1, torch.tensor([length])]), torch.zeros(short + 1, dtype=torch.int64)]
    posteriors = forward_backward(potentials)
    with Largest() as largest:
        found = span_log_posteriors(posteriors, tag_set, *columns)
    assert largest.numel <= len(tag_set) * (length + short + 1)
    apart = [span_log_posteriors(posteriors, tag_set, *(c[k : k + 1] for c in columns)) for k in (0, 500, short)]
    torch.testing.assert_close(found[[0, 500, short]], torch.cat(apart))


def test_choosing_spans_needs_memory_for_them_alone():
    spans = [(k, k + 2, 0, 0.6 + 0.1 * (k % 2)) for k in range(5_000)]
    tracemalloc.start()
    chosen = _best_disjoint(spans, 0.5)
    needed = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chosen == spans[1::2]
    assert needed < 400 * len(spans)


def test_long_sequences_lose_no_digits():
    """What is found in single precision is what is found in double precision, far from the beginning too."""
    length = 5 * LONG
    single = random_crf([length, 3], 5, scale=3.0)
    double = single.to(torch.float64)
    tag_set = TagSet(("A",))
    columns = [torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, length // 2, length - 2])]
    columns += [columns[1] + 1, torch.zeros(4, dtype=torch.int64)]
    ours, exact = forward_backward(single), forward_backward(double)
    torch.testing.assert_close(
        span_log_posteriors(ours, tag_set, *columns),
        span_log_posteriors(exact, tag_set, *columns),
        rtol=0.0,
        atol=1e-9,
    )
    torch.testing.assert_close(ours.exact_log_partition, exact.exact_log_partition, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(ours.marginals.sum(1), torch.ones(length + 3))
    for found, expected in zip(
        (*viterbi(single), *n_best(single, 3)), (*viterbi(double), *n_best(double, 3)), strict=True
    ):
        torch.testing.assert_close(found.double(), expected.double(), rtol=1e-12, atol=0.0)
