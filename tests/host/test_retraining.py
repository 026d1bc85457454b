"""Plans retrained: as `compress --plan --train` does it, and on from where it was stopped."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.compression import CompressOptions, CompressOutputs, compress
from host.jobs import Made
from host.options import key
from host.plans import written
from host.points import Problem
from host.retraining import Retraining, Trainer
from host.terminal import Reporter
from host.training import TrainOptions
from hw.contract.config import preset
from quant import onnx_import
from quant.compress import Candidate
from quant.optimize import Plan, Reshape
from quant.qdq import load
from quant.run.evaluation import answers
from tests.host.onnx_networks import images, small_cnn

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed (extra `train`)")
TINY, QUIET = preset("tiny"), Reporter(quiet=True)
PLAN = Plan((Reshape("channels", 0.2),), {"conv": Candidate(prune=0.5, values=3), "fc": Candidate(ternary=True)})


class Stopping(Reporter):
    """Ctrl-C at a step of a training."""

    def step(self, what: str, done: int, total: int) -> None:
        if "epoch" in what and done == 4:
            raise KeyboardInterrupt


def trained(options: CompressOptions, folder: Path, reporter: Reporter = QUIET) -> Made:
    x = np.load(options.calibration)["images"]
    problem = Problem(onnx_import.load(options.network), x, x, np.arange(12) % 3, TINY, "fast")
    made_from: Any = key([options.calibration, options.config])
    ((place, made),) = Trainer(problem, options.training, folder, made_from, reporter).run([Retraining(PLAN)])
    assert place == 0
    return made


def test_it_is_what_compress_makes_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, folder = small_cnn(tmp_path / "net.onnx", channels=8), tmp_path / "points"
    train = images(tmp_path / "train.npz", (60, 2, 8, 8), labels=np.arange(60) % 3)
    (tmp_path / "plan.json").write_text(json.dumps(written(PLAN, network, TINY)))
    options = CompressOptions(
        network=network,
        calibration=images(tmp_path / "images.npz"),
        config=TINY,
        effort="fast",
        plan=tmp_path / "plan.json",
        training=TrainOptions(train=train, epochs=2, batch=16, seed=3),
    )
    found = compress(options, CompressOutputs(output=tmp_path / "c.onnx"), QUIET)
    content = (tmp_path / "c.onnx").read_bytes()
    assert [row["of"] for row in found["training"]] == ["what is kept", "sharing"]
    assert load(tmp_path / "c.onnx").metadata["compression.epochs"] == "2"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        trained(options, folder, Stopping(quiet=True))
    assert sorted(path.suffix for path in folder.iterdir()) == [".start", ".training"]
    monkeypatch.setattr("quant.train.retrain.begun", None)  # what was solved for is not solved for again
    made = trained(options, folder)
    assert made.network == content and list(folder.iterdir()) == []
    network_made = load(tmp_path / "c.onnx")
    x = np.load(options.calibration)["images"]
    assert made.value["right"] == np.mean(answers(network_made, x) == np.arange(12) % 3)
    assert made.value["training"] == found["training"]
