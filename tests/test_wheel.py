"""The wheel: one name in site-packages, and everything works under it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from host.drivers import distribution
from tests.conftest import ROOT
from tests.host.onnx_networks import images, small_cnn

ROOMS = ("quant", "hw", "sim", "host")
FILES = ("pyproject.toml", "setup.py", "shiftpoint.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is unpacked."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    build = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def python(site: Path, *lines: str) -> str:
    """What a program prints that sees the wheel and its dependencies, and not this repository."""
    paths = f"import sys; sys.path += [{str(site)!r}, {sysconfig.get_paths()['purelib']!r}]"
    command = [sys.executable, "-I", "-S", "-c", "\n".join([paths, *lines])]  # -S: no editable install
    done = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_brings_one_name(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == {"shiftpoint", f"shiftpoint-{version('shiftpoint')}.dist-info"}
    entry = next(site.glob("*.dist-info")) / "entry_points.txt"
    assert "shiftpoint = shiftpoint:main" in entry.read_text()


def test_every_file_is_in_it(site: Path) -> None:
    code = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix != ".pyc"}
    known = {path for path in code if (ROOT / path).is_file()}
    there = {path.relative_to(site / "shiftpoint") for path in (site / "shiftpoint").rglob("*") if path.is_file()}
    assert known == there - {Path("__init__.py")}


def test_every_module_can_be_imported_and_is_of_the_package(site: Path) -> None:
    extra = ("quant/train", "hw/package/litex")  # PyTorch and LiteX are no dependencies
    inside = ("sim/bench/cocotb_engine", "sim/bench/exported", "sim/bench/transport")  # of a simulator's process
    root = site / "shiftpoint"
    modules = [str(path.relative_to(root).with_suffix("")) for path in sorted(root.rglob("*.py"))]
    wanted = [name for name in modules if not name.startswith((*extra, *inside))]
    names = [name.replace("/", ".").removesuffix("__init__").rstrip(".") for name in wanted]
    told = python(
        site,
        "import importlib",
        f"for name in {[f'shiftpoint.{name}'.rstrip('.') for name in names]!r}: importlib.import_module(name)",
        f"print([name for name in {ROOMS!r} if name in sys.modules])",
    )
    assert told == "[]\n" and len(names) > 200


def run(*words: object) -> str:
    """A line that runs a command."""
    return f"sys.argv[1:] = {[str(word) for word in words]!r}; assert shiftpoint.main() == 0"


def test_it_works(site: Path, tmp_path: Path) -> None:
    small_cnn(tmp_path / "net.onnx")
    images(tmp_path / "images.npz")
    out, given = tmp_path / "out", tmp_path / "images.npz"
    asked = ["run", tmp_path / "net.onnx", "--calibration", given, "--config", "tiny", "--rtl-images", 0, "--out", out]
    simulate = f"shiftpoint.simulate(program={str(out / 'network.program')!r}, images={str(given)!r}).cycles"
    told = python(site, "import shiftpoint", run(*asked), f"print({simulate})")
    assert int(told.splitlines()[-1]) > 0 and (out / "report.html").exists()


def test_the_distribution_of_the_driver_is_the_same(site: Path, tmp_path: Path) -> None:
    made = tmp_path / "driver.whl"
    python(site, "from shiftpoint.host.drivers import distribution as d", f"open({str(made)!r}, 'wb').write(d.wheel())")
    there, here = (zipfile.ZipFile(wheel) for wheel in (made, io.BytesIO(distribution.wheel())))
    code = [name for name in here.namelist() if name.startswith(f"{distribution.PACKAGE}/")]
    assert [there.read(name) for name in code] == [here.read(name) for name in code] and len(code) > 20
    assert there.namelist() == here.namelist()


@pytest.mark.verify
def test_it_simulates_the_verilog(site: Path, tmp_path: Path) -> None:
    small_cnn(tmp_path / "net.onnx")
    images(tmp_path / "images.npz")
    asked = ["run", tmp_path / "net.onnx", "--calibration", tmp_path / "images.npz", "--config", "tiny"]
    python(site, "import shiftpoint", run(*asked, "--rtl-images", 1, "--out", tmp_path / "out"))
    program, rtl = (json.loads((tmp_path / "out" / "legs" / f"{leg}.json").read_text()) for leg in ("program", "rtl"))
    assert rtl["counters"] == program["counters"] and rtl["cycles"] > 0


def renamed(text: str) -> subprocess.CompletedProcess[str]:
    """What setup.py makes of a source, in a process where it builds nothing."""
    lines = (
        "import setuptools, sys; setuptools.setup = dict; import setup; sys.stdout.write(setup.renamed(sys.argv[1]))"
    )
    command = [sys.executable, "-c", lines, text]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_of_rooms_alone_are_renamed() -> None:
    text = "from hw.a import b\nif 1:\n  e = 'é'; from .host import c; from quant import d\nfrom hwx import y\n"
    expected = text.replace("from hw.a", "from shiftpoint.hw.a").replace("from quant", "from shiftpoint.quant")
    assert renamed(text).stdout == expected


def test_imports_that_would_bind_another_name_are_refused() -> None:
    assert "line 2: write `from sim.x import`, not `import sim.x`" in renamed("import os\nimport sim.x\n").stderr
