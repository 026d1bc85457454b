"""The verifier: each rule broken once, by one change of a network that is well formed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.ir.host import HostOperation
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.well_formed import Malformed, well_formed
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv, FloatConv
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from tests.quant.float_graphs import branches

S8 = QFormat(8, 4)
SAME = Window((3, 3), pads=(1, 1, 1, 1))


def conv(name: str, source: str, output: str, **changes) -> Conv:
    """A 3 x 3 convolution of four channels into four."""
    values = {
        "name": name, "input": source, "output": output, "weight": np.ones((4, 4, 3, 3), np.int64),
        "weight_frac": np.full(4, 4), "weight_bits": 8, "bias": np.zeros(4, np.int64), "window": SAME, "groups": 1,
        "clip": (-128, 127),
    }  # fmt: skip
    return Conv(**(values | changes))


def net() -> Network:
    """A network with a layer of each kind."""
    layers = (
        conv("conv", "x", "a"),
        conv("again", "a", "b", residual="a"),
        Add("add", ("a", "b"), "c", (0, 127)),
        Pool("pool", "c", "d", "max", Window((2, 2), (2, 2)), (-128, 127)),
        Resize("resize", "d", "e", (2, 2)),
        Table("table", "e", "f", np.arange(-128, 128), "x"),
        Concat("concat", ("c", "f"), "g"),
    )
    shapes = dict.fromkeys("xabcef", (4, 6, 6)) | {"d": (4, 3, 3), "g": (8, 6, 6)}
    tensors = {name: Tensor(name, shape, S8) for name, shape in shapes.items()}
    return Network("net", tensors, layers, ("x",), ("g",), output_shapes={"g": (8, 6, 6)})


def changed(name: str, /, **changes) -> Network:
    """The network with another layer of that name."""
    network = net()
    layers = [replace(layer, **changes) if layer.name == name else layer for layer in network.layers]
    return replace(network, layers=tuple(layers))


def retyped(name: str, /, added_to: str = "", **changes) -> Network:
    """The network with another tensor of that name, which is the residual of a layer where one is named."""
    network = changed(added_to, residual=name)
    return replace(network, tensors=network.tensors | {name: replace(network.tensors[name], **changes)})


def test_what_is_well_formed_is_returned() -> None:
    network = net()
    assert well_formed(network) is network
    assert all(well_formed(made) is made for made in (branches(), replace(network, outputs=(), output_shapes={})))


MALFORMED = {
    "names of layers": (changed("pool", name="add"), "layer add: another layer has that name"),
    "no name": (changed("pool", name=""), r"layer \(without a name\): has no name"),
    "names of tensors": (retyped("a", name="b"), "tensor a is called b"),
    "empty tensor name": (replace(net(), tensors=net().tensors | {"": Tensor("", (1, 1, 1), S8)}), "has no name"),
    "written twice": (changed("again", output="a"), "layer again: writes a, which is written already"),
    "writes the input": (changed("conv", output="x"), "layer conv: writes x, which is written already"),
    "no tensor": (changed("conv", output="q"), "layer conv: writes q, which is no tensor"),
    "nothing read": (changed("concat", inputs=()), "layer concat: reads nothing"),
    "order": (replace(net(), layers=net().layers[::-1]), "layer concat: reads c, which nothing before it writes"),
    "input": (replace(net(), inputs=("q",)), "the input q is no tensor"),
    "empty map": (retyped("x", shape=(4, 0, 6)), r"tensor x has the shape \(4, 0, 6\)"),
    "output": (replace(net(), outputs=("q",), output_shapes={}), "output q is no tensor"),
    "results": (replace(net(), results=(("a", HostOperation("Sigmoid")),)), "Sigmoid is made of a, which is no output"),
    "shape of no output": (replace(net(), output_shapes={"a": (4, 6, 6)}), "output_shapes names a"),
    "shape of an output": (replace(net(), output_shapes={"g": (7, 6, 6)}), r"cannot have the shape \(7, 6, 6\)"),
    "shape": (retyped("g", shape=(8, 6, 5)), r"layer concat: gives g the shape \(8, 6, 6\), the network \(8, 6, 5\)"),
    "channels": (retyped("x", shape=(3, 6, 6)), "layer conv: has weights for 4 channels, its input 3"),
    "window": (changed("pool", window=Window((2, 2), (0, 2))), "layer pool: no window"),
    "factors": (changed("resize", factors=(0, 2)), r"layer resize: enlarges by \(0, 2\)"),
    "kernel": (changed("conv", window=Window()), r"layer conv: a weight of \(4, 4, 3, 3\) for a kernel of \(1, 1\)"),
    "groups": (changed("conv", groups=3), "layer conv: 4 channels in 3 groups"),
    "bias": (changed("conv", bias=np.zeros(3, np.int64)), r"layer conv: a bias of \(3,\) for 4 channels"),
    "lengths": (changed("conv", weight_frac=np.zeros(1, np.int64)), "layer conv: fractional lengths of"),
    "real weights": (changed("conv", weight=np.ones((4, 4, 3, 3))), "layer conv: weights of type float64"),
    "width": (changed("conv", weight_bits=1), "layer conv: a weight does not fit its 1 bits"),
    "clip": (changed("conv", clip=(-129, 127)), r"layer conv: the clip \(-129, 127\) is not within s8.4"),
    "fine residual": (retyped("x", "again", fmt=QFormat(8, 30)), "layer again: residual x has more fractional bits"),
    "format of a maximum": (retyped("d", fmt=QFormat(8, 3)), "layer pool: computes nothing, so its input and output"),
    "format of a copy": (retyped("e", fmt=QFormat(8, 3)), "layer resize: computes nothing"),
    "format of a part": (retyped("f", fmt=QFormat(8, 3)), "layer concat: computes nothing"),
    "number of entries": (changed("table", entries=np.arange(16)), "layer table: 16 entries, but 8 bits of input"),
    "entries": (changed("table", entries=np.arange(256)), "layer table: entries beyond the output's format s8.4"),
    "gemm": (changed("conv", op="Gemm"), "layer conv: the kernel of a Gemm covers the map"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_each_rule(case: str) -> None:
    network, message = MALFORMED[case]
    with pytest.raises(Malformed, match=message) as error:
        well_formed(network)
    assert "\n" not in str(error.value)


def test_maps_of_different_sizes_are_not_joined() -> None:
    parts = {"x": Tensor("x", (4, 6, 6), S8), "a": Tensor("a", (4, 3, 3), S8), "y": Tensor("y", (8, 6, 6), S8)}
    layers = (Pool("pool", "x", "a", "max", Window((2, 2), (2, 2)), (-128, 127)), Concat("concat", ("x", "a"), "y"))
    with pytest.raises(Malformed, match=r"layer concat: joins maps of different sizes: \(4, 6, 6\), \(4, 3, 3\)"):
        well_formed(Network("net", parts, layers, ("x",), ("y",)))


def test_sums_of_two_shapes() -> None:
    parts = {"x": Tensor("x", (4, 6, 6), S8), "a": Tensor("a", (4, 3, 3), S8), "y": Tensor("y", (4, 6, 6), S8)}
    pool = Pool("pool", "x", "a", "max", Window((2, 2), (2, 2)), (-128, 127))
    for layer in (Add("sum", ("x", "a"), "y", (-128, 127)), conv("sum", "x", "y", residual="a")):
        with pytest.raises(Malformed, match="layer sum: adds tensors of two shapes"):
            well_formed(Network("net", parts, (pool, layer), ("x",), ("y",)))


def test_weights_that_are_no_numbers() -> None:
    weight = np.full((2, 3, 1, 1), np.nan, np.float32)
    layer = FloatConv("conv", "x", "y", weight, np.zeros(2, np.float32), Window(), 1)
    graph = FloatGraph("net", (layer,), {"x": (3, 2, 2), "y": (2, 2, 2)}, ("x",), ("y",))
    with pytest.raises(Malformed, match="layer conv: its constants have NaN"):
        well_formed(graph)
