"""Killed, survived, hung, and failures that are not the mutant's."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.mutants import trial
from tests.mutants.trial import Tree

SOURCE = b"def f(n):\n    return n + 1\n"
TEST = """
import pytest
from hw.a import f

def test_broken(): assert f(1) == 3
@pytest.mark.parametrize("n", [1], ids=["{'n': 1, 'of': 2}"])
def test_one(n): assert f(n) == 2
"""
ONE = "tests/test_a.py::test_one[{'n': 1, 'of': 2}]"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    root = tmp_path / "root"
    for room in ("hw", "quant", "sim", "host", "tests"):
        (root / room).mkdir(parents=True)
    (root / "hw" / "a.py").write_bytes(SOURCE)
    (root / "tests" / "test_a.py").write_text(TEST)
    (root / "tests" / "test_other.py").write_text("def test_other(): pass\n")
    monkeypatch.setattr(trial, "ROOT", root)
    return Tree(tmp_path / "copy", set(), set(), threading.Lock())


def test_outcomes(tree: Tree) -> None:
    levels = [["tests/test_a.py"], ["tests/test_other.py"]]
    killed = tree.attempt("hw/a.py", SOURCE.replace(b"+", b"-"), levels, 60)
    assert (killed.state, killed.by) == ("killed", ONE)
    assert tree.broken == {"tests/test_a.py::test_broken"} and tree.sound == {ONE}
    survived = tree.attempt("hw/a.py", SOURCE.replace(b"n + 1", b"1 + n"), levels, 60)
    assert (survived.state, survived.ran) == ("survived", 2)
    assert (tree.folder / "hw" / "a.py").read_bytes() == SOURCE


@pytest.mark.parametrize(("ends", "state"), [(True, "hung"), (False, "undecided")])
def test_a_hang_kills_where_the_tests_end_otherwise(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, ends: bool, state: str
) -> None:
    said = iter([(False, "", ""), (ends, "", "")])  # of the mutant, and of the tree as it is
    monkeypatch.setattr(tree, "pytest", lambda tests, limit: next(said))
    assert tree.attempt("hw/a.py", SOURCE.replace(b"+", b"-"), [["tests/test_a.py"]], 60).state == state


def test_a_copy_imports_itself(tree: Tree) -> None:
    command = [sys.executable, "-c", "import hw.a, sys; print(hw.a.__file__)"]
    found = subprocess.run(command, cwd="/", env=tree._environment(), capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(tree.folder / "hw" / "a.py")
