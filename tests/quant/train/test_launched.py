"""What is launched as one does what it did before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quant.compress import Asked
from quant.train.checkpoint import Checkpoint
from quant.train.launched import WARM, Launched
from quant.train.loop import train
from quant.train.retrain import stages
from quant.train.settings import Settings
from tests.quant.train.nets import examples, net, weights

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_a_processor_does_it_each_time() -> None:
    count = torch.zeros(())
    one = Launched(lambda: count.add_(1), torch.device("cpu"))  # type: ignore[arg-type,return-value]
    for _ in range(WARM + 3):
        one()
    assert count == WARM + 3


@gpu
def test_a_gpu_does_it_each_time() -> None:
    count = torch.zeros((), device="cuda")
    one = Launched(lambda: count.add_(1), count.device)  # type: ignore[arg-type,return-value]
    for _ in range(WARM + 3):
        one()
    assert count == WARM + 3


@gpu
@pytest.mark.parametrize("asked", [{"prune": 0.5}, {"values": 4}, {"ternary": True, "left": ("stem",)}, {}])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_recorded_steps_train_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked, optimizer) -> None:
    settings = Settings(epochs=2, batch=16, augment="flip", mix=True, optimizer=optimizer, start="weights")
    found = []
    for warm in (WARM, 10**9):
        monkeypatch.setattr("quant.train.launched.WARM", warm)
        wanted = stages(settings, Asked(**asked, method="lamp"))
        found.append(train(net(), examples(tmp_path), wanted, settings, Checkpoint(None, "")))
    recorded, plain = found
    for name, own in weights(recorded.graph).items():
        np.testing.assert_array_equal(own, weights(plain.graph)[name], err_msg=name)
    assert recorded.epochs == plain.epochs
