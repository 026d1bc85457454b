"""The driver's distribution: NumPy alone, Python 3.10, nothing of the project's own names, the golden vectors."""

from __future__ import annotations

import ast
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from host.drivers import distribution
from quant.base.errors import VerificationError
from quant.ir.inputs import together
from sim.executor import ProgramExecutor
from tests.host.drivers.golden import PROGRAMS, golden

PLAYBACK = Path(__file__).parent / "playback.py"


def interpreter(name: str) -> str | None:
    """A Python by name: on PATH, or one that pyenv has and does not show."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for path in (shutil.which(name), *map(str, sorted(versions.glob(f"*/bin/{name}")))):
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs, vectors and memories after each run, and the wheel."""
    folder = tmp_path_factory.mktemp("vectors")
    for name in PROGRAMS:
        found = golden(name)
        executor = ProgramExecutor(found.program)
        memories = [executor.memory(together(run.images)) for run in found.runs]
        for memory in memories:
            executor.run_memory(memory)
        found.program.save(folder / f"{name}.program")
        (folder / f"{name}.vectors").write_bytes(found.data)
        np.save(folder / f"{name}.memory.npy", np.stack(memories))
    (folder / distribution.wheel_name()).write_bytes(distribution.wheel())
    return folder


def expected() -> list[str]:
    sizes = {name: sum(array.size for run in golden(name).runs for array in run.outputs.values()) for name in PROGRAMS}
    return [f"{name}: 2 runs, {sizes[name]} values equal, 23 counters" for name in sorted(PROGRAMS)]


def test_golden_vectors_without_anything_else(folder: Path) -> None:
    """In a process that can import NumPy, the standard library and the wheel, and nothing of this project."""
    wheel = str(folder / distribution.wheel_name())
    numpy = str(Path(np.__file__).parent.parent)
    code = f"import sys, runpy; sys.path += [{wheel!r}, {numpy!r}]; sys.argv = sys.argv[1:]; "
    words = [sys.executable, "-I", "-S", "-c", code + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    command = [*words, str(PLAYBACK), str(folder), "--alone"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == expected()


@pytest.mark.verify
@pytest.mark.parametrize("numpy", ["numpy<2", "numpy"])
@pytest.mark.parametrize("name", ["python3.10", "python3"])
def test_golden_vectors_in_an_empty_environment(folder: Path, tmp_path: Path, name: str, numpy: str) -> None:
    python = interpreter(name)
    if python is None:
        pytest.skip(f"no {name} here")
    subprocess.run([python, "-m", "venv", str(tmp_path / "venv")], check=True)
    pip = [str(tmp_path / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, numpy, str(folder / distribution.wheel_name())], check=True)
    command = [str(tmp_path / "venv" / "bin" / "python"), str(PLAYBACK), str(folder), "--alone"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *lines, versions = done.stdout.splitlines()
    assert lines == expected()
    assert name == "python3" or versions.startswith("python 3.10, ")
    assert numpy == "numpy" or versions.split()[-1].startswith("1.")


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(distribution.wheel())) as archive:
        archive.extractall(folder)
    return folder / distribution.PACKAGE


def test_one_name_at_the_top(tmp_path: Path) -> None:
    unpacked(tmp_path)
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {distribution.PACKAGE}
    imported = {name for path in tmp_path.rglob("*.py") for name in distribution._imports(path)}
    assert {"shiftpoint_driver.host.driver", "numpy"} <= imported
    assert not {name.partition(".")[0] for name in imported} & set(distribution._ROOMS)


def test_its_syntax_is_that_of_python_3_10(tmp_path: Path) -> None:
    for path in unpacked(tmp_path).rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 10))


@pytest.mark.verify
def test_the_standard_library_of_python_3_10_has_what_it_uses(tmp_path: Path) -> None:
    package = unpacked(tmp_path)
    words = [
        "--python-version",
        "3.10",
        "--disable-error-code",
        "import-not-found",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    command = [sys.executable, "-m", "mypy", *words, str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_record_names_every_file() -> None:
    with zipfile.ZipFile(io.BytesIO(distribution.wheel())) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith("/RECORD"))
        lines = [line.split(",") for line in archive.read(record).decode().splitlines()]
        assert [line[0] for line in lines] == names
        assert all(int(size) == len(archive.read(name)) for name, _, size in lines[:-1])
        text = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
        licence = archive.read(next(name for name in names if name.endswith("/LICENSE"))).decode()
    assert licence == (Path(__file__).parents[3] / "LICENSE").read_text()
    assert "Requires-Python: >=3.10" in text and "Requires-Dist: numpy" in text
    assert distribution.wheel() == distribution.wheel()


def test_what_it_must_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(distribution.OFFERED, "host.tail", ())
    with pytest.raises(VerificationError, match=r"imports onnx\w*, which the driver's distribution must do without$"):
        distribution.sources()
