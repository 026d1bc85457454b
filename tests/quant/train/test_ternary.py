"""Trained ternary weights: the published function and gradients, and integers in the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quant.kinds.conv import convolution
from quant.search import quantize_network
from quant.search.structure import check_structures
from quant.train.module import GraphModule
from quant.train.ternary import LATENT, SCALES, Settled, Ternarized, Ternary
from tests.quant.float_graphs import images
from tests.quant.train.nets import net, weights


@pytest.mark.parametrize("zeros", [None, 0.4])
def test_function_and_gradients_are_as_published(zeros: float | None, rng: np.random.Generator) -> None:
    weight = rng.normal(size=(6, 3, 3, 3)).astype(np.float32)
    made, gradient = Ternary(weight, zeros), rng.normal(size=weight.shape).astype(np.float32)
    found = made()
    found.backward(torch.from_numpy(gradient))
    latent, scale = made.latent.detach().numpy(), made.scale.numpy()
    edge = 0.05 * np.abs(latent).max() if zeros is None else np.sort(np.abs(latent), axis=None)[round(0.4 * 162) - 1]
    p, n = made.positive.item(), made.negative.item()
    above, below = latent > edge, latent < -edge
    np.testing.assert_allclose(found.detach().numpy(), scale * np.where(above, p, np.where(below, -n, 0)), rtol=1e-6)
    scaled = gradient * scale
    np.testing.assert_allclose(made.positive.grad.numpy(), scaled[above].sum(), rtol=1e-4)
    np.testing.assert_allclose(made.negative.grad.numpy(), -scaled[below].sum(), rtol=1e-4)
    np.testing.assert_allclose(
        made.latent.grad.numpy(), scaled * np.where(above, p, np.where(below, n, 1)), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose([p, n], [latent[above].mean(), -latent[below].mean()], rtol=1e-5)
    if zeros is not None:
        assert (found.detach().numpy() == 0).mean() == pytest.approx(0.4, abs=0.005)


def test_scales_become_integers_and_stay_them() -> None:
    """In the quantized network: -n, 0 and p of the layer, beside each channel's power of two."""
    module = GraphModule(net())
    first = Ternarized(module, None, ("stem", "fc"))
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
    factors = {id(parameter): factor for parameter, factor in Ternarized(module, 0.5, ("stem", "fc")).rates()}
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
@pytest.mark.parametrize("zeros", [None, 0.9])
def test_layers_with_little_in_them(weight: np.ndarray, zeros: float | None) -> None:
    found = Ternary(weight.astype(np.float32), zeros)().detach().numpy()
    assert np.isfinite(found).all() and (zeros is not None or np.array_equal(found, weight))
