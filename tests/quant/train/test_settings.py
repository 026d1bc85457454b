"""Settings, and that they need no PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from quant.base.errors import BadInput
from quant.train.settings import Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "training takes an epoch and an image a step at least, not 0 and 64"),
        ({"batch": 0}, "training takes an epoch and an image a step at least, not 20 and 0"),
        ({"rate": 0.0}, "a learning rate is above 0 and 10 at most, not 0"),
        ({"rate": float("nan")}, "a learning rate is above 0 and 10 at most, not nan"),
        ({"distil": 1.5}, "the part of the loss that is distilled is 0 to 1, not 1.5"),
        ({"thrift": -0.1}, "what a bit counts is 0 to 10, not -0.1"),
        ({"seed": -1}, "a seed is 0 at least, not -1"),
    ],
)
def test_what_there_cannot_be(changes, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        Settings(**changes).check()
    assert str(caught.value) == message


def test_the_rate_follows_the_optimizer() -> None:
    assert Settings().learning_rate == 0.004 and Settings(optimizer="adamw").learning_rate == 0.0015
    assert Settings(rate=0.1).learning_rate == 0.1


def test_the_command_line_loads_no_pytorch() -> None:
    code = "import sys, host.commands; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
