"""The translator's network and its search, against plain loops."""

import math
import random

import numpy as np
import pytest
import torch

from spacy_crfner.back_attention import beam
from spacy_crfner.back_attention.beam import beam_search
from spacy_crfner.back_attention.convs2s import ConvS2S
from spacy_crfner.back_attention.pieces import BEGIN, END, FIRST_NAME, PAD, SPECIAL

VOCAB = SPECIAL + 12
SIZES = {"size": 8, "width": 6, "kernel": 3, "encoder_layers": 2, "decoder_layers": 2, "positions": 20}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ConvS2S(VOCAB, **SIZES).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return model


def arrays(model):
    return {name: weight.double().numpy() for name, weight in model.without_norms().state_dict().items()}


def glu(x):
    half = len(x) // 2
    return x[:half] / (1.0 + np.exp(-x[half:]))


def plain_forward(w, source, target):
    """Gehring et al. 2017, sections 3.1 to 3.3, for one pair, a word at a time."""
    half = math.sqrt(0.5)

    def embed(side, ids):
        return [w[f"{side}.embed.pieces.weight"][i] + w[f"{side}.embed.positions.weight"][k] for k, i in enumerate(ids)]

    def linear(name, x):
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def convolve(name, columns):
        kernel = w[f"{name}.weight"]
        return glu(sum(kernel[:, :, k] @ column for k, column in enumerate(columns)) + w[f"{name}.bias"])

    inputs = embed("encoder", source)
    nothing = np.zeros(SIZES["width"])
    states = [linear("encoder.enter", x) for x in inputs]
    for layer in range(SIZES["encoder_layers"]):
        around = [nothing, *states, nothing]
        name = f"encoder.convolutions.{layer}"
        states = [(convolve(name, around[k : k + 3]) + states[k]) * half for k in range(len(states))]
    keys = [linear("encoder.leave", x) for x in states]
    values = [(key + x) * half for key, x in zip(keys, inputs, strict=True)]

    inputs = embed("decoder", target)
    states = [linear("decoder.enter", x) for x in inputs]
    attentions = []
    for layer in range(SIZES["decoder_layers"]):
        name, past = f"decoder.layers.{layer}", [nothing, nothing, *states]
        following, rows = [], []
        for k, state in enumerate(states):
            hidden = convolve(f"{name}.convolution", past[k : k + 3])
            query = (linear(f"{name}.query", hidden) + inputs[k]) * half
            weights = np.exp([query @ key for key in keys])
            weights /= weights.sum()
            context = sum(a * value for a, value in zip(weights, values, strict=True)) * math.sqrt(len(keys))
            hidden = (linear(f"{name}.out", context) + hidden) * half
            following.append((hidden + state) * half)
            rows.append(weights)
        states = following
        attentions.append(rows)
    features = [linear("decoder.leave", state) for state in states]
    scores = [w["decoder.embed.pieces.weight"] @ x + w["bias"] for x in features]
    return np.array(scores), np.mean(attentions, axis=0)


def test_the_network_is_that_of_the_paper(model):
    source, target = [SPECIAL + 1, SPECIAL + 5, FIRST_NAME, END], [BEGIN, SPECIAL + 2, SPECIAL + 2]
    scores, attention = plain_forward(arrays(model), source, target)
    with torch.no_grad():
        found, where = model(torch.tensor([source]), torch.tensor([target]))
    np.testing.assert_allclose(found[0].numpy(), scores, atol=1e-4)
    np.testing.assert_allclose(where[0].numpy(), attention, atol=1e-5)


def test_what_stands_beside_a_text_does_not_matter(model):
    texts = [[SPECIAL + 1, END], [SPECIAL + 2, SPECIAL + 3, SPECIAL + 4, SPECIAL, END]]
    rows = torch.tensor([[*text, *[PAD] * (5 - len(text))] for text in texts])
    target = torch.tensor([[BEGIN, SPECIAL + 6]] * 2)
    with torch.no_grad():
        together, attention = model(rows, target)
        alone, own = model(torch.tensor(texts[:1]), target[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(attention[:1, :, :2], own, atol=1e-6, rtol=0)
    assert attention[0, :, 2:].abs().max() == 0.0


def test_texts_longer_than_the_positions_can_be_read(model):
    with torch.no_grad():
        scores, _ = model(torch.full((1, 50), SPECIAL), torch.full((1, 40), SPECIAL))
    assert torch.isfinite(scores).all()


def test_the_copy_without_norms_computes_the_same(model):
    source, target = torch.tensor([[SPECIAL, SPECIAL + 3, END]]), torch.tensor([[BEGIN, SPECIAL + 2]])
    plain = model.without_norms()
    assert not any("parametrizations" in name for name in plain.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(plain(source, target)[0], model(source, target)[0], atol=1e-6, rtol=0)


def next_piece(model, source, pieces):
    """Piece -> probability, with the whole network: names once, and instead of the end those that are still lacking;
    and whether one of them would have to be put in."""
    found = model(torch.tensor([source]), torch.tensor([[BEGIN, *pieces]]))[0][0, -1].softmax(-1).tolist()
    lacking = [one for one in source if FIRST_NAME <= one < SPECIAL and one not in pieces]
    if not lacking:
        return {one: found[one] for one in [END, *range(SPECIAL, VOCAB)]}, False
    own = sum(found[one] for one in lacking)
    names = {one: found[one] * (1.0 + found[END] / own) for one in lacking}
    # The last place is for the end.
    hurried = beam.most_pieces(len(source)) - len(pieces) <= len(lacking) + 1
    others = {} if hurried else {one: found[one] for one in range(SPECIAL, VOCAB)}
    return {**names, **others}, hurried or found[END] > own


def greedy(model, source):
    pieces, total = [], 0.0
    while len(pieces) < beam.most_pieces(len(source)) and END not in pieces:
        following, _ = next_piece(model, source, pieces)
        best = max(following, key=following.__getitem__)
        pieces.append(best)
        total += math.log(following[best])
    return pieces, total / len(pieces)


SOURCES = [
    [SPECIAL + 1, END],
    [SPECIAL + 4, FIRST_NAME + 2, SPECIAL + 2, SPECIAL + 2, END],
    [SPECIAL + 7, SPECIAL + 3, SPECIAL + 9, END],
]


def test_one_beam_is_the_greedy_search(model):
    with torch.no_grad():
        for source, found in zip(SOURCES, beam_search(model, SOURCES, beams=1), strict=True):
            pieces, score = greedy(model, source)
            assert found.pieces == [one for one in pieces if one != END]
            assert found.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 4])
def test_what_a_search_says_of_its_translations(model, beams):
    """Score and attention are those of the whole network, and each source has its own, whatever is beside it."""
    for source, found in zip(SOURCES, beam_search(model, SOURCES, beams=beams), strict=True):
        (alone,) = beam_search(model, [source], beams=beams)
        assert alone.pieces == found.pieces
        with torch.no_grad():
            _, attention = model(torch.tensor([source]), torch.tensor([[BEGIN, *found.pieces]]))
            ended, pieces = [], [*found.pieces, END]
            for place, piece in enumerate(pieces):
                ended.append(math.log(next_piece(model, source, pieces[:place])[0].get(piece, 1e-30)))
        means = [sum(part) / len(part) for part in (ended, ended[:-1])]
        assert min(abs(found.score - mean) for mean in means) < 1e-4
        torch.testing.assert_close(
            found.attention[:, : len(source)], attention[0, : len(found.pieces)], atol=1e-5, rtol=0
        )


def test_a_name_comes_once_and_only_where_the_source_has_it(model):
    with torch.no_grad():
        # A network that would write nothing but names.
        model.bias[FIRST_NAME:SPECIAL] += 50.0
    source = [SPECIAL, FIRST_NAME + 3, FIRST_NAME + 5, END]
    (found,) = beam_search(model, [source], beams=3)
    names = [one for one in found.pieces if one < SPECIAL]
    assert sorted(names) == [FIRST_NAME + 3, FIRST_NAME + 5]


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("ends", [-60.0, 0.0, 60.0])
def test_no_name_is_lost(model, ends, beams):
    """Neither by a network that would never write them, nor by one that ends at once, nor by one that never ends."""
    with torch.no_grad():
        model.bias[FIRST_NAME:SPECIAL] -= 60.0
        model.bias[END] += ends
    names = list(range(FIRST_NAME, SPECIAL))
    # Those that end first stand first, so that the others move up.
    sources = [[SPECIAL, END], [SPECIAL, names[3], SPECIAL + 1, names[1], END], [*names, END]]
    for source, found in zip(sources, beam_search(model, sources, beams=beams), strict=True):
        assert found.pieces == beam_search(model, [source], beams=beams)[0].pieces
        assert sorted(one for one in found.pieces if one < SPECIAL) == sorted(set(source) & set(names))
        assert len(found.pieces) <= beam.most_pieces(len(source))
        assert len(found.attention) == len(found.pieces)


def test_texts_that_end_first_leave_the_others_as_they_are(model):
    """Also which of their translations names had to be put into."""
    draw = random.Random(0)
    with torch.no_grad():
        # Ends at once, so that names have to be put in.
        model.bias[END] += 2.0
    for _ in range(15):
        sources = [
            [*draw.sample(range(FIRST_NAME, SPECIAL), k), *draw.choices(range(SPECIAL, VOCAB), k=3 * k + 1), END]
            for k in range(4)
        ]
        for source, found in zip(sources, beam_search(model, sources, beams=3), strict=True):
            (alone,) = beam_search(model, [source], beams=3)
            assert found.pieces == alone.pieces and found.score == pytest.approx(alone.score, abs=1e-4)
            torch.testing.assert_close(found.attention[:, : len(source)], alone.attention, atol=1e-5, rtol=0)


def test_a_search_goes_on_while_there_may_be_something_better():
    def found(score):
        return beam.Hypothesis([], torch.zeros(0, 0), score)

    finished = beam.Finished()
    finished.add(found(-1.0), put_in=1)
    # One that needs nothing put in would be better, however improbable.
    assert not finished.is_safe(beams=4, within_reach=-9.0)
    finished.add(found(-5.0), put_in=0)
    assert finished.best.score == -5.0
    assert not finished.is_safe(beams=4, within_reach=-4.0) and finished.is_safe(beams=4, within_reach=-6.0)
    assert finished.is_safe(beams=2, within_reach=-4.0)


def every_translation(model, source, longest):
    """(names put in, score, pieces) of all that end within so many pieces, and of all that have not ended there."""
    found, open_ones = [], [(0, 0.0, [])]
    for _ in range(longest):
        following = []
        for put_in, total, pieces in open_ones:
            allowed, lacks = next_piece(model, source, pieces)
            for piece, probability in allowed.items():
                score = total + math.log(probability)
                if piece == END:
                    found.append((put_in, score / (len(pieces) + 1), pieces))
                else:
                    following.append((put_in + (lacks and piece < SPECIAL), score, [*pieces, piece]))
        open_ones = following
    return found, [(put_in, total / longest, pieces) for put_in, total, pieces in open_ones]


@pytest.mark.parametrize("source", [[SPECIAL + 1, END], [FIRST_NAME + 4, SPECIAL + 1, FIRST_NAME + 2, END]])
def test_the_best_of_all_translations_is_found(model, source, monkeypatch):
    """With enough beams, against every translation that there is; one that has not ended counts only for want of one
    that has, however probable, and one in which a name had to be put in only for want of others."""
    limit = 4 if len(source) > 2 else 3
    monkeypatch.setattr(beam, "most_pieces", lambda length: limit)
    outdone = 0
    for easier, ends in ((0.0, 0.75), (-3.0, 0.0), (0.0, 0.0), (3.0, 0.0), (6.0, 0.0)):
        with torch.no_grad():
            model.bias[SPECIAL:] += easier
            model.bias[END] += ends
            found, cut = every_translation(model, source, limit)
            (best,) = beam_search(model, [source], beams=(VOCAB - SPECIAL + 2) ** limit)
            model.bias[SPECIAL:] -= easier
            model.bias[END] -= ends
        _, score, pieces = max(found, key=lambda one: (-one[0], one[1]))
        assert best.pieces == pieces and best.score == pytest.approx(score, abs=1e-4)
        outdone += score < max(other for _, other, _ in found)
    # With the first biases, a name is put in into the most probable one.
    assert outdone == (len(source) > 2)
    assert len(source) > 2 or max(score for _, score, _ in cut) > max(score for _, score, _ in found)  # the last time


def test_keys_and_values_of_the_encoder_get_a_part_of_the_gradient(model):
    """As in Gehring et al. 2017: one in twice the layers of the decoder; embeddings, in the values, get all of it."""
    source = torch.tensor([[SPECIAL + 1, SPECIAL + 4, END]])
    for part in ("keys", "values"):
        grads = []
        for scale in (1.0, model.encoder.gradient_scale):
            model.encoder.gradient_scale, kept = scale, model.encoder.gradient_scale
            model.zero_grad()
            getattr(model.encode(source), part).square().sum().backward()
            model.encoder.gradient_scale = kept
            grads.append([model.encoder.leave.bias.grad.clone(), model.encoder.embed.positions.weight.grad.clone()])
        (layer, embedding), (scaled, scaled_embedding) = grads
        torch.testing.assert_close(scaled, layer / (2 * len(model.decoder.layers)))
        if part == "values":
            assert scaled_embedding.norm() > 0.5 * embedding.norm()


def test_weights_behind_dropout_begin_smaller():
    """So that the variance is the same with it."""
    torch.manual_seed(0)
    model = ConvS2S(VOCAB, size=200, width=200, encoder_layers=1, decoder_layers=1, dropout=0.36)
    for layer, expected in (
        (model.encoder.enter, (0.64 / 200) ** 0.5),
        (model.encoder.leave, (1 / 200) ** 0.5),
        (model.encoder.convolutions[0], (4 * 0.64 / 600) ** 0.5),
        (model.decoder.layers[0].query, (1 / 200) ** 0.5),
        (model.decoder.layers[0].convolution, (4 * 0.64 / 600) ** 0.5),
    ):
        assert float(layer.weight.std()) == pytest.approx(expected, rel=0.03)
