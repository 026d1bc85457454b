"""Networks by name: trained ones, and architectures with seeded random weights that scripts beside the data write.

Written once, below build/networks; a name and its options always give the same weights.  The scripts of architectures
that PyTorch exports need torch, and those named `timm:NAME` timm.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx

from benchmarks.datasets import DATA
from quant.base.errors import BadInput

BUILT = Path(__file__).resolve().parent.parent / "build" / "networks"
"""Where networks are kept that scripts wrote."""
MADE = ("vgg16", "alexnet", "resnet18", "resnet50", "small_cnn")
"""What make_networks.py, in the folder of the data, is asked for; everything else networks.py, in the one beside it."""


def architecture(name: str, *options: str, size: int | None = None) -> Path:
    """The file of a network: the trained one of this name, else what a script writes.

    options: of make_networks.py.  size: rows and columns of the input instead of the script's, where nothing in the
    network depends on them.  Raises BadInput where it is neither there nor can be written, saying why.
    """
    if size is not None:
        return resized(architecture(name, *options), size)
    trained = DATA / "models" / f"{name}.onnx"
    if trained.is_file():
        return trained
    script = DATA / "make_networks.py" if name in MADE else DATA.parent / "networks" / "networks.py"
    if not script.is_file():
        raise BadInput(f"{name}: {trained} and {script} are absent")
    path = BUILT / f"{'_'.join([name.replace(':', '_'), *(option.strip('-') for option in options)])}.onnx"
    if not path.is_file():
        BUILT.mkdir(parents=True, exist_ok=True)
        begun = path.with_suffix(".begun")
        line = [sys.executable, str(script), name, "-o", str(begun), *options]
        ran = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if ran.returncode or not begun.is_file():
            lines = ran.stderr.strip().splitlines() or [""]
            said = [line for line in lines if "Error: " in line]  # PyTorch's go on behind it
            raise BadInput(f"{name}: {script.name} fails: {(said or lines)[-1]}")
        begun.replace(path)
    return path


def resized(path: Path, size: int) -> Path:
    """The same network on square images of another size, beside it."""
    smaller = path.with_stem(f"{path.stem}_{size}")
    if not smaller.is_file():
        model = onnx.load(path)
        for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
            dimension.dim_value = size
        del model.graph.value_info[:]
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        onnx.save(model, smaller)
    return smaller
