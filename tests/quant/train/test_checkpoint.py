"""The file of a training: its own, whole, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quant.base.errors import BadInput
from quant.train.checkpoint import Checkpoint


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", "key")
    assert checkpoint.load() is None and checkpoint.kept == ""
    checkpoint.save({"step": 3, "weights": {"a": torch.arange(3.0)}})
    found = Checkpoint(tmp_path / "c", "key").load()
    assert found is not None and found["step"] == 3 and found["weights"]["a"].tolist() == [0, 1, 2]
    assert checkpoint.kept == f"; {tmp_path / 'c'} has what was reached"


def test_without_a_file_nothing_is_kept() -> None:
    checkpoint = Checkpoint(None, "key")
    checkpoint.save({})
    assert checkpoint.load() is None and checkpoint.kept == ""


def test_another_training_is_not_taken_over(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "c", "one").save({})
    with pytest.raises(BadInput, match="c: is of another training"):
        Checkpoint(tmp_path / "c", "other").load()


@pytest.mark.parametrize("content", [b"", b"odd", None])
def test_damaged(tmp_path: Path, content: bytes | None) -> None:
    Checkpoint(tmp_path / "c", "key").save({"weights": torch.arange(1000.0)})
    whole = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(BadInput, match="no checkpoint of a training, or damaged"):
        Checkpoint(tmp_path / "c", "key").load()
