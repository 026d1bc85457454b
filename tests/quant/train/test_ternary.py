"""Trained ternary weights: the published function and gradients, and integers in the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quant.kinds.conv import convolution
from quant.search import quantize_network
from quant.search.structure import Structure, check_structures
from quant.train.module import GraphModule
from quant.train.solved import solved
from quant.train.ternary import LATENT, SCALES, Settled, Ternarized, Ternary
from tests.quant.float_graphs import images
from tests.quant.train.nets import net, weights


@pytest.mark.parametrize("fixed", [False, True])
def test_function_and_gradients_are_as_published(fixed: bool, rng: np.random.Generator) -> None:
    weight = rng.normal(size=(6, 3, 3, 3)).astype(np.float32)
    power = rng.integers(-2, 3, 6)
    assigned = rng.choice([-0.7, 0, 0.9], weight.shape) * np.ldexp(1.0, power.astype(np.int32)).reshape(-1, 1, 1, 1)
    made, gradient = (
        Ternary(weight, assigned if fixed else None, power),
        rng.normal(size=weight.shape).astype(np.float32),
    )
    found = made()
    found.backward(torch.from_numpy(gradient))
    latent, scale, values = made.latent.detach().numpy(), made.scale.numpy(), found.detach().numpy()
    edge = 0.05 * np.abs(latent).max() if not fixed else np.abs(latent)[assigned == 0].max()
    p, n = made.positive.item(), made.negative.item()
    above, below = latent > edge, latent < -edge
    np.testing.assert_allclose(values, scale * np.where(above, p, np.where(below, -n, 0)), rtol=1e-6)
    scaled = gradient * scale
    np.testing.assert_allclose(made.positive.grad.numpy(), scaled[above].sum(), rtol=1e-4)
    np.testing.assert_allclose(made.negative.grad.numpy(), -scaled[below].sum(), rtol=1e-4)
    np.testing.assert_allclose(
        made.latent.grad.numpy(), scaled * np.where(above, p, np.where(below, n, 1)), rtol=1e-5, atol=1e-7
    )
    if fixed:
        np.testing.assert_allclose(values, assigned, rtol=1e-6)
    else:
        np.testing.assert_allclose(latent * scale, weight, rtol=1e-6)
        np.testing.assert_allclose([p, n], [latent[above].mean(), -latent[below].mean()], rtol=1e-5)


def test_zeros_stay_so_many(rng: np.random.Generator) -> None:
    assigned = rng.choice([-1.0, 0.0, 1.0], (5, 4, 3, 3))
    made = Ternary(rng.normal(size=assigned.shape).astype(np.float32), assigned, np.zeros(5, np.int64))
    with torch.no_grad():
        made.latent += torch.from_numpy(rng.normal(size=assigned.shape).astype(np.float32))
    found = made().detach().numpy()
    assert (found == 0).sum() == (assigned == 0).sum() and (found != assigned).any()


@pytest.mark.parametrize("begun", [False, True])
def test_scales_become_integers_and_stay_them(begun: bool) -> None:
    """In the quantized network: -n, 0 and p of the layer, beside each channel's power of two."""
    module, left = GraphModule(net()), ("stem", "fc")
    asked = {"body": Structure(ternary=True)}
    first = Ternarized(module, solved(net(), images(80, 2, 8), asked) if begun else None, left)
    before = module.trained()
    settled = Settled(module)
    trained, structures = module.trained(), settled.structures()
    np.testing.assert_allclose(weights(trained)["body"], weights(before)["body"], rtol=0.01)
    assert not first.structures() and set(structures) == {"body"}
    check_structures(trained, structures)
    found = quantize_network(trained, images(80, 2, 8), structures=structures)
    body = next(conv for layer in found.layers if (conv := convolution(layer)) and conv.name == "body")
    values = np.unique(body.weight)
    assert len(values) == 3 and values[1] == 0 and values[0] < 0 < values[2] and max(-values[0], values[2]) > 63
    steps = np.ldexp(1.0, -body.weight_frac.astype(np.int32)).reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(body.weight * steps, weights(trained)["body"])  # nothing more is rounded


def test_what_is_trained_how_fast() -> None:
    module = GraphModule(net())
    factors = {id(parameter): factor for parameter, factor in Ternarized(module, None, ("stem", "fc")).rates()}
    body, stem = module.layers["body"], module.layers["stem"]
    found = [body.source.latent, body.source.positive, body.source.negative, body.bias, stem.source.values]
    assert [factors[id(parameter)] for parameter in found] == [LATENT, SCALES, SCALES, 1.0, 1.0]
    after = {id(parameter) for parameter, _ in Settled(module).rates()}
    assert after == {
        id(p)
        for name, held in module.layers.items()
        for p in ([held.bias] + ([held.source.values] if name != "body" else []))
    }


@pytest.mark.parametrize("weight", [np.zeros((2, 2)), np.ones((2, 2)), -np.ones((1, 1)), np.array([[3.0, -3.0]])])
@pytest.mark.parametrize("fixed", [False, True])
def test_layers_with_little_in_them(weight: np.ndarray, fixed: bool) -> None:
    weight = weight.astype(np.float32)
    found = Ternary(weight, weight if fixed else None, np.zeros(len(weight), np.int64))().detach().numpy()
    assert np.array_equal(found, weight)
