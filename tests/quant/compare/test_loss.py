"""How far outputs move, and the answers that this costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quant.compare.loss import OutputLoss


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(len(values), -1, 1, 1)


def test_noise_is_the_mean_of_all_outputs() -> None:
    loss = OutputLoss({"y": rows((3.0, 4.0), (0.0, 0.0)), "z": rows((2.0,), (0.0,))})
    loss.add({"y": rows((3.0, 5.0))}, slice(0, 1))
    loss.add({"y": rows((0.0, 0.0)), "z": rows((1.0,))}, slice(1, 2))
    assert loss.relative == pytest.approx((1 / 25 + 1 / 4) / 2)
    assert loss.sqnr_db == pytest.approx(-10 * math.log10((1 / 25 + 1 / 4) / 2))
    assert loss.images == 2


def test_classes_that_change_are_counted() -> None:
    outputs = rows((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    loss = OutputLoss({"y": outputs})
    loss.add({"y": rows((0.0, 1.0, 0.0), (0.0, 1.0, 0.0))}, slice(0, 2))
    loss.add({"y": outputs[2:] + 5}, slice(2, 4))  # all classes alike
    assert loss.agreement_lost == 1 / 4
    strength = float(np.std([1.0, -1.0, 0.0]))
    assert loss.agreement_risk == pytest.approx(0.5 * math.erfc(1 / (2 * strength)) / 4)


def test_the_risk_is_how_often_noise_passes_the_margin(rng: np.random.Generator) -> None:
    """Against noise that is drawn: two classes, a margin of 0.7."""
    outputs = np.tile(np.array([0.0, 0.7], np.float32), (40_000, 1)).reshape(-1, 2, 1, 1)
    loss = OutputLoss({"y": outputs[:1]})
    noise = np.array([0.3, -0.3], np.float32).reshape(1, 2, 1, 1)  # of strength 0.3
    loss.add({"y": outputs[:1] + noise}, slice(0, 1))
    drawn = outputs + rng.normal(0, 0.3, outputs.shape)
    lost = (drawn.argmax(1) == 0).mean()
    assert loss.agreement_risk == pytest.approx(lost, abs=0.01)


def test_nothing_moved_and_nothing_to_move() -> None:
    loss = OutputLoss({"y": rows((0.0,), (0.0,))})
    assert (loss.agreement_lost, loss.agreement_risk) == (0, 0)
    loss.add({}, slice(0, 2))
    assert (loss.relative, loss.sqnr_db, loss.agreement_lost, loss.agreement_risk) == (0, None, 0, 0)
    loss.add({"y": rows((5.0,))}, slice(0, 1))  # one class alone has no margin to pass
    assert loss.agreement_risk == 0
