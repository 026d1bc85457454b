"""Without PyTorch (extra `train`) only what needs none is tested; networks so small would only wait for threads."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

WITHOUT = ("test_data.py", "test_exponents.py", "test_settings.py", "test_solved.py")
TORCH = find_spec("torch") is not None

collect_ignore = (
    [] if TORCH else [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name not in WITHOUT]
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of processes that tests start
    if TORCH:
        import torch

        torch.set_num_threads(1)
