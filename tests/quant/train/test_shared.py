"""Values that weights share: their gradients, their structure, and that quantizing keeps them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quant.kinds.conv import convolution
from quant.search import quantize_network
from quant.search.structure import Structure, check_structures
from quant.train.exponents import exponents
from quant.train.module import GraphModule
from quant.train.shared import OTHERS, Shared, Sharing
from quant.train.solved import solved
from tests.quant.float_graphs import images
from tests.quant.train.nets import net, weights


def test_a_value_has_the_sum_of_its_weights_gradients(rng: np.random.Generator) -> None:
    weight = (
        rng.normal(size=(4, 3, 2, 2)).astype(np.float32) * np.array([1, 4, 1, 0.3], np.float32)[:, None, None, None]
    )
    kept = rng.random(weight.shape) < 0.7
    shared, gradient = (
        Shared(weight, 5, kept, exponents(weight, kept)),
        rng.normal(size=weight.shape).astype(np.float32),
    )
    shared().backward(torch.from_numpy(gradient))
    place, scale = shared.place.numpy(), shared.scale.numpy()
    wanted = [(gradient * scale)[place == number].sum() for number in range(1, 6)]
    np.testing.assert_allclose(shared.values.grad.numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert not shared().detach().numpy()[~kept].any() and ((place > 0) == kept).all()


def test_every_weight_has_the_nearest_value(rng: np.random.Generator) -> None:
    weight = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    shared = Shared(weight, 4, None, exponents(weight))
    values = shared.values.detach().numpy()
    own = weight / shared.scale.numpy()
    nearest = values[np.abs(own[..., None] - values).argmin(-1)]
    np.testing.assert_array_equal(shared().detach().numpy(), nearest * shared.scale.numpy())


def test_thrift_leaves_fewer_bits(rng: np.random.Generator) -> None:
    weight, mask = rng.normal(size=(30, 8, 3, 3)).astype(np.float32), rng.random((30, 8, 3, 3)) < 0.4
    power, used = exponents(weight, mask), []
    for thrift in (0.0, 0.1):
        shared = Shared(weight, 16, mask, power, thrift)
        place = shared.place.numpy()
        np.testing.assert_array_equal(place > 0, mask)
        assert len(shared.values) == 16
        used.append(np.bincount(place[mask]))
    shares = [counts[counts > 0] / counts.sum() for counts in used]
    plain, thrifty = (float(-(share * np.log2(share)).sum()) for share in shares)
    assert thrifty < 0.8 * plain


@pytest.mark.parametrize("pruned", [False, True])
def test_integers_are_as_few(pruned: bool, rng: np.random.Generator) -> None:
    graph = net()
    kept = {name: rng.random(own.shape) < 0.6 for name, own in weights(graph).items()} if pruned else {}
    module = GraphModule(graph)
    sharing = Sharing(module, {"stem": 5, "body": 5}, {name: Structure(mask) for name, mask in kept.items()})
    trained, structures = module.trained(), sharing.structures()
    assert set(structures) == {"stem", "body"}
    check_structures(trained, structures)
    found = quantize_network(trained, images(80, 2, 8), structures=structures)
    for layer in found.layers:
        conv = convolution(layer)
        if conv is None or conv.name not in structures:
            continue
        power, own = structures[conv.name].exponents, weights(trained)[conv.name]
        common = conv.weight_frac + power
        assert (
            len(set(common.tolist())) == 1
            and len(set(np.unique(conv.weight).tolist()) - ({0} if pruned else set())) <= 5
        )
        np.testing.assert_array_equal(
            conv.weight, np.clip(np.rint(np.ldexp(own.astype(float), conv.weight_frac.reshape(-1, 1, 1, 1))), -128, 127)
        )
        if pruned:
            assert not conv.weight[~kept[conv.name]].any()


def test_it_begins_with_what_is_solved_for() -> None:
    graph, module = net(), GraphModule(net())
    start = solved(graph, images(80, 2, 8), {name: Structure(values=4) for name in ("stem", "body")})
    Sharing(module, {"stem": 4, "body": 4}, {}, start)
    found = {layer.name: layer for layer in module.convolutions()}
    for name in ("stem", "body"):
        np.testing.assert_array_equal(found[name].weight, start.weights[name])
        np.testing.assert_array_equal(found[name].bias, start.biases[name])
    np.testing.assert_array_equal(found["fc"].weight, weights(graph)["fc"])


def test_rates_follow_the_size_of_values() -> None:
    module = GraphModule(net())
    sharing = Sharing(module, {"stem": 4, "body": 4}, {})
    factors = {id(parameter): factor for parameter, factor in sharing.rates()}
    values = module.layers["body"].source.values
    assert factors[id(values)] == pytest.approx(float(values.detach().square().mean().sqrt()), rel=1e-5)
    assert factors[id(module.layers["body"].bias)] == factors[id(module.layers["fc"].source.values)] == OTHERS


def test_fewer_weights_than_values() -> None:
    found = Shared(np.array([[1.0, 2.0]], np.float32), 8, None, np.zeros(1, np.int64))
    np.testing.assert_array_equal(found().detach().numpy(), [[1.0, 2.0]])
    nothing = Shared(np.ones((2, 2), np.float32), 3, np.zeros((2, 2), bool), np.zeros(2, np.int64))
    assert not nothing().detach().numpy().any()
