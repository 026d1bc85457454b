"""Training: it learns, it is repeatable, and it goes on where it was killed."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from quant.base.errors import BadInput
from quant.compress import Asked
from quant.run import stacks
from quant.train import loop
from quant.train.checkpoint import Checkpoint
from quant.train.loop import Trained, train
from quant.train.retrain import stages
from quant.train.settings import Settings
from tests.quant.train.nets import examples, net, weights

SETTINGS = Settings(epochs=6, batch=32, rate=0.02, distil=0.2, augment="flip")
ASKED = {"prune": 0.5}


def run(folder: Path, progress=None, asked=None, settings: Settings = SETTINGS, key: str = "key") -> Trained:
    folder.mkdir(exist_ok=True)
    asked = ASKED if asked is None else asked
    return train(
        net(), examples(folder), stages(settings, Asked(**asked)), settings, Checkpoint(folder / "c", key), progress
    )  # fmt: skip


def same(one: Trained, other: Trained) -> None:
    for name, own in weights(one.graph).items():
        np.testing.assert_array_equal(own, weights(other.graph)[name], err_msg=name)
    assert one.epochs == other.epochs and one.structures.keys() == other.structures.keys()
    for name, structure in one.structures.items():
        np.testing.assert_array_equal(structure.kept, other.structures[name].kept)
        np.testing.assert_array_equal(structure.exponents, other.structures[name].exponents)


def test_it_learns(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert len(found.epochs) == 6 and found.epochs[-1].loss < found.epochs[0].loss
    assert found.epochs[-1].accuracy > 0.6  # of four classes, with half of the weights
    own = weights(found.graph)
    assert all(not own[name][~structure.kept].any() for name, structure in found.structures.items())


def test_free_weights_in_bfloat16_by_adam(tmp_path: Path) -> None:
    found = run(tmp_path, asked={}, settings=Settings(epochs=2, batch=32, optimizer="adamw", distil=0, bfloat16=True))
    assert not found.structures and found.epochs[-1].stage == "training"


def test_blended_images_are_learned_from(tmp_path: Path) -> None:
    found = run(tmp_path, settings=Settings(epochs=6, batch=32, rate=0.02, distil=0.2, mix=True))
    assert found.epochs[-1].accuracy > 0.6
    again = run(tmp_path / "again", settings=Settings(epochs=6, batch=32, rate=0.02, distil=0.2))
    assert not np.array_equal(weights(found.graph)["stem"], weights(again.graph)["stem"])


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.quant.train import test_loop
def progress(what, done, total):
    if done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
test_loop.run(Path(sys.argv[1]), progress, eval(sys.argv[3]))
"""


def killed(folder: Path, step: int, asked: object = ASKED) -> None:
    """A training that dies at a step."""
    folder.mkdir()
    words = [sys.executable, "-c", KILLED, str(folder), str(step), repr(asked)]
    assert subprocess.run(words, cwd=Path(__file__).parents[3]).returncode == -9


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    killed(tmp_path / "killed", 18)  # in the fourth epoch of five steps
    seen: list[int] = []
    again = run(tmp_path / "killed", lambda what, done, total: seen.append(done))
    assert seen[0] == 16 and seen[-1] == 30
    same(again, run(tmp_path / "whole"))
    same(again, run(tmp_path / "killed"))  # from its end


@pytest.mark.parametrize("asked", [{"prune": 0.5, "values": 4}, {"ternary": True, "left": ("stem",)}])
@pytest.mark.parametrize("step", [10, 13, 14])
def test_stages_go_on_too(tmp_path: Path, asked, step: int) -> None:
    """Within the first, at its end, within the second."""
    settings = Settings(epochs=3, batch=32, seed=2)

    def stop(what: str, done: int, total: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stop, asked, settings)
    same(run(tmp_path / "stopped", None, asked, settings), run(tmp_path / "whole", None, asked, settings))


def test_checkpoints_between_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole")
    monkeypatch.setattr(loop, "SECONDS", 0.0)

    def stop(what: str, done: int, total: int) -> None:
        if done == 18:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stop)
    seen: list[int] = []
    same(run(tmp_path / "stopped", lambda what, done, total: seen.append(done)), whole)
    assert seen[0] == 19


def test_what_is_said_while_it_runs(tmp_path: Path) -> None:
    said: list[str] = []
    run(tmp_path, lambda what, done, total: said.append(what))
    assert said[0] == "pruning: epoch 1 of 6"
    assert (
        said[7].startswith("pruning: epoch 2 of 6, ") and said[7].endswith(" s left") and "held back right" in said[7]
    )


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (200, "3 min"), (9000, "2.5 h")])
def test_times(seconds: float, text: str) -> None:
    assert loop._spoken(seconds) == text


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_answers_to_images_that_never_move_are_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    """And are those of each step's images, from memory or a file."""
    counted = [0]
    monkeypatch.setattr(stacks, "MEMORY", memory)
    settings = Settings(epochs=3, batch=32, augment="none")
    held, wanted = examples(tmp_path), loop._Run._wanted

    def checked(self: loop._Run, images: torch.Tensor) -> torch.Tensor:
        found = wanted(self, images)
        torch.testing.assert_close(found, self.teacher(images), rtol=1e-5, atol=1e-5)
        counted[0] += 1
        return found

    monkeypatch.setattr(loop._Run, "_wanted", checked)
    said: list[tuple[str, int, int]] = []
    train(net(), held, stages(settings, Asked()), settings, Checkpoint(None, ""), lambda *of: said.append(of))
    assert counted == [15] and [of[1:] for of in said[:6]] == [(min(32 * n, 180), 180) for n in range(1, 7)]
    assert sum(what == "the float network's answers" for what, _, _ in said) == 6


def test_no_number_ends_it_and_keeps_what_was_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, own = count(), loop._loss

    def loss(*of):
        return own(*of) * (np.nan if next(losses) == 11 else 1.0)

    monkeypatch.setattr(loop, "_loss", loss)
    with pytest.raises(BadInput) as caught:
        run(tmp_path)
    kept = tmp_path / "c"
    assert str(caught.value) == (
        f"training: in epoch 3 of 6 the loss is no number: lower --learning-rate; {kept} has what was reached"
    )
    state = Checkpoint(kept, "key").load()
    assert state is not None and state["step"] == 10
    assert all(bool(values.isfinite().all()) for values in state["module"].values())


def test_the_loss_is_what_it_says(rng: np.random.Generator) -> None:
    answers, wanted = (torch.from_numpy(rng.normal(size=(5, 3))) for _ in range(2))
    labels = torch.tensor([0, 2, 1, 1, 0])
    plain = -torch.log_softmax(answers, 1)[range(5), labels].mean()
    assert torch.isclose(loop._loss(answers, wanted, labels, 0.0), plain)
    own, other = torch.softmax(answers / 4, 1), torch.softmax(wanted / 4, 1)
    distance = 16 * (other * (other / own).log()).sum(1).mean()
    assert torch.isclose(loop._loss(answers, wanted, labels, 0.7), 0.3 * plain + 0.7 * distance)
