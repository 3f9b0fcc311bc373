"""The router's losses: their derivatives, and the cases in which they are the plain cross entropy."""

import numpy as np
import pytest

from spacy_crfner.routing.losses import (
    make_cross_entropy_v1,
    make_focal_cross_entropy_v1,
    make_weighted_cross_entropy_v1,
)

LOGITS = np.array([-60.0, -3.0, -0.4, 0.0, 0.7, 2.5, 60.0] * 2)
TRUTH = np.array([True] * 7 + [False] * 7)
LOSSES = {
    "plain": make_cross_entropy_v1(),
    "weighted": make_weighted_cross_entropy_v1(),
    "given weights": make_weighted_cross_entropy_v1(weak=3.0, strong=0.2),
    "focal": make_focal_cross_entropy_v1(gamma=2.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives(name):
    loss = LOSSES[name]
    values, derivatives = loss(LOGITS, TRUTH, 0.02)
    assert (values >= 0).all() and np.isfinite(values).all() and np.isfinite(derivatives).all()
    step = 1e-5
    slopes = (loss(LOGITS + step, TRUTH, 0.02)[0] - loss(LOGITS - step, TRUTH, 0.02)[0]) / (2 * step)
    np.testing.assert_allclose(derivatives, slopes, atol=1e-6)


def test_formulas():
    logits, truth = np.log([0.8 / 0.2, 0.3 / 0.7]), np.array([True, False])
    np.testing.assert_allclose(LOSSES["plain"](logits, truth, 0.02)[0], -np.log([0.8, 0.7]))
    np.testing.assert_allclose(LOSSES["weighted"](logits, truth, 0.02)[0], [-0.98 * np.log(0.8), -0.02 * np.log(0.7)])
    np.testing.assert_allclose(LOSSES["given weights"](logits, truth, 0.5)[0], [-3 * np.log(0.8), -0.2 * np.log(0.7)])
    focal = [-(0.2**2) * np.log(0.8), -(0.3**2) * np.log(0.7)]
    np.testing.assert_allclose(LOSSES["focal"](logits, truth, 0.02)[0], focal)


def test_both_classes_weigh_the_same_in_all():
    """With one weak sentence in fifty, and a router that knows nothing."""
    truth = np.arange(50) == 0
    values, derivatives = LOSSES["weighted"](np.zeros(50), truth, 1 / 50)
    assert values[truth].sum() == pytest.approx(values[~truth].sum())
    assert derivatives.sum() == pytest.approx(0.0)


def test_without_focus_it_is_the_cross_entropy():
    focal = make_focal_cross_entropy_v1(gamma=0.0)(LOGITS, TRUTH, 0.1)
    np.testing.assert_allclose(focal, LOSSES["plain"](LOGITS, TRUTH, 0.1), atol=1e-15)


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="gamma of 0 or more"):
        make_focal_cross_entropy_v1(gamma=-1)
    with pytest.raises(ValueError, match="weight of weak sentences must be above 0"):
        make_weighted_cross_entropy_v1(weak=0)
