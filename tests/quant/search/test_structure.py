from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.search import Structure, quantize_network
from quant.search.structure import FREE, check_settled, check_structures
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, float_conv, identical, respects, sqnr


def kept_of(graph, share: float, seed: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    names = ("stem", "body", "joined", "left", "right", "signed", "fc")
    return {name: random.random(float_conv(graph, name).weight.shape) < share for name in names}


def test_of_some_channels():
    kept = np.arange(24).reshape(4, 2, 1, 3) % 2 == 0
    assert np.array_equal(Structure(kept, 3).only(slice(1, 3)).kept, kept[1:3])
    powers = Structure(values=3, exponents=np.arange(4)).only(slice(1, 3))
    assert powers.kept is None and np.array_equal(powers.exponents, [1, 2]) and powers.settled
    assert FREE.only(slice(1, 3)) is FREE and not FREE.shared


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (
            Structure(np.ones((8, 3, 3, 3))),
            "layer stem: which weights are kept is bool (8, 3, 3, 3), not float64",
        ),
        (Structure(np.ones((8, 3), bool)), "layer stem: which weights are kept is bool (8, 3, 3, 3), not bool (8, 3)"),
        (Structure(values=1), "weights can share 2 to 256 values, not 1"),
        (Structure(values=257), "weights can share 2 to 256 values, not 257"),
        (
            Structure(values=4, exponents=np.zeros(8, np.int64)),
            "layer stem: its weights are said to be settled, and have 216 values",
        ),
        (Structure(values=4, ternary=True), "layer stem: ternary weights share two values, not 4"),
    ],
)
def test_what_no_layer_can_have(structure, message):
    with pytest.raises(BadInput) as caught:
        check_structures(branches(), {"stem": structure})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("numbers", "structure", "values"),
    [
        ([0.0, 0.5, 4.0], Structure(values=3), None),
        ([0.0, 0.5, 4.0], Structure(values=2), 3),  # zero is one of them
        ([0.0, 0.5, 4.0], Structure(np.ones((8, 1, 1, 1), bool), values=2), None),  # zero is what was pruned
        ([0.5, 1.0, 4.0], Structure(np.ones((8, 1, 1, 1), bool), values=2), 3),
        ([-1.0, 0.0, 3.0], Structure(ternary=True), None),
        ([-1.0, 1.0, 3.0], Structure(ternary=True), 3),
    ],
)
def test_whether_weights_are_settled(numbers, structure, values):
    """In their channels' units; each channel has another here."""
    exponents = np.arange(8) - 4
    weight = np.ldexp(np.resize(numbers, (8, 1, 1, 1)), exponents.reshape(-1, 1, 1, 1)).astype(np.float32)
    if values is None:
        check_settled("conv", weight, exponents, structure)
    else:
        with pytest.raises(BadInput, match=f"layer conv: its weights are said to be settled, and have {values} values"):
            check_settled("conv", weight, exponents, structure)


def test_a_layer_that_is_not_there():
    with pytest.raises(BadInput, match="net has no convolution or fully connected layer half"):
        quantize_network(branches(), images(2), structures={"half": FREE})


def test_asking_nothing_changes_no_integer():
    graph, x = branches(), images(2)
    plain, asked = (quantize_network(graph, x, rounding="nearest", structures=s) for s in (None, {"stem": FREE}))
    assert identical(plain, asked)


@pytest.mark.parametrize(
    ("rounding", "granularity"), [("nearest", "channel"), ("output", "channel"), ("output", "layer")]
)
def test_a_network_holds_to_what_is_asked(rounding, granularity):
    """Masks, shared values and ternary weights, in layers of every kind."""
    graph, x = branches(), images(8)
    kept = kept_of(graph, 0.5)
    asked = {
        "stem": Structure(kept["stem"]),
        "body": Structure(kept["body"], values=4),
        "joined": Structure(values=5),
        "right": Structure(kept["right"], values=2),
        "signed": Structure(ternary=True),
        "fc": Structure(np.zeros_like(kept["fc"]), values=4),
    }
    network = quantize_network(graph, x, structures=asked, rounding=rounding, granularity=granularity)
    respects(network)
    weights = {conv.name: conv.weight for conv in convolutions(network)}
    for name, structure in asked.items():
        if structure.kept is not None:
            assert not weights[name][~structure.kept].any(), name
    assert not weights["fc"].any()
    different = {name: set(np.unique(weight).tolist()) - {0} for name, weight in weights.items()}
    assert len(different["stem"]) > 20 and len(different["left"]) > 20
    assert [len(different[name]) for name in ("body", "right")] == [4, 2]
    assert len(set(np.unique(weights["joined"]).tolist())) <= 5
    assert len(different["signed"]) == 2 and min(different["signed"]) < 0 < max(different["signed"])
    assert (weights["signed"] == 0).any()


def smooth(noise: np.ndarray) -> np.ndarray:
    """Pixels that depend on their neighbours, as those of photographs do."""
    return noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 3)


def test_what_stays_makes_good_what_went():
    """Better than the same weights left as they were, and than the same values without the layer's output."""
    net = Builder(1, channels=4, size=6)
    graph = net.graph(net.conv("two", net.conv("one", "x", 8), 8, clip=(None, None)))
    x, other = (smooth(images(count, 4, 6, seed)) for count, seed in ((32, 7), (16, 9)))
    random = np.random.default_rng(5)
    layers = [float_conv(graph, name) for name in ("one", "two")]
    for structures in (
        {layer.name: Structure(random.random(layer.weight.shape) < 0.7) for layer in layers},
        {layer.name: Structure(values=6) for layer in layers},
        {layer.name: Structure(ternary=True) for layer in layers},
    ):
        left, made_good = (
            sqnr(quantize_network(graph, x, structures=structures, rounding=word), graph, other)
            for word in ("nearest", "output")
        )
        assert made_good > left + 1  # dB
