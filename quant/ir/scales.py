"""Free scales of an equalized network: what a channel's integers stand for, beside their format.

Equalization (Nagel et al. 2019) multiplies channel c of a float tensor by some s_c > 0 and divides what reads
it by the same: the network computes the same function.  The integers of that channel then stand for the float
network's value times s_c.  Whoever holds the two networks against each other divides by it again, and whoever
gives the input multiplies by it first (`scaled`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from quant.base.errors import BadInput

if TYPE_CHECKING:
    from quant.ir.network import Network

SCALES = "quantization.scales"
"""Metadata key: JSON {tensor: [s_0, ..., s_(C-1)]}.  Tensors that it does not name have scales of one."""


def tensor_scales(network: Network) -> dict[str, np.ndarray]:
    """The scales of every tensor of a network, float64 (C,) by name; all ones where equalization left it alone.

    The integers q of channel c stand for the float network's value times scales[c]: x = q * 2**-frac / scales[c].
    Raises BadInput for metadata that cannot be read, name another tensor, or hold anything but one positive
    number for each channel.
    """
    stated = _stated(network.metadata)
    return {name: np.ones(t.shape[0]) for name, t in network.tensors.items()} | {
        name: _checked(network, name, values) for name, values in stated.items()
    }


def input_scales(metadata: Mapping[str, str], name: str, channels: int) -> np.ndarray:
    """The scales of one tensor by a network's metadata alone, which programs keep: float64 (C,).

    Raises BadInput for metadata that cannot be read, or hold anything but one positive number for each channel.
    """
    stated = _stated(metadata)
    return _positive(stated[name], name, channels) if name in stated else np.ones(channels)


def scaled_input(network: Network, name: str, images: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) times the scales of an input of the network; otherwise as `scaled`."""
    return scaled(images, input_scales(network.metadata, name, network.tensors[name].shape[0]))


def scaled(images: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) times the scales (C,) of the input, in float32 as ONNX Runtime does it.

    Unchanged where all scales are one; otherwise float32, the largest number in the place of what would be infinite.
    """
    if (scales == 1).all():
        return images
    with np.errstate(over="ignore"):
        product = images.astype(np.float32) * scales.astype(np.float32).reshape(-1, 1, 1)
    most = np.finfo(np.float32).max
    return np.clip(product, -most, most, out=product)


def with_scales(network: Network, scales: Mapping[str, np.ndarray]) -> Network:
    """The network with these scales in its metadata, in place of any before; scales of one are left out.

    scales: float (C,) by tensor.  Raises BadInput as `tensor_scales` does.
    """
    checked = {name: _checked(network, name, values) for name, values in scales.items()}
    stated = {name: values.tolist() for name, values in checked.items() if (values != 1).any()}
    metadata = {key: value for key, value in network.metadata.items() if key != SCALES}
    return replace(network, metadata=metadata | ({SCALES: json.dumps(stated, sort_keys=True)} if stated else {}))


def _checked(network: Network, name: str, values: object) -> np.ndarray:
    """Scales of one tensor as float64 (C,)."""
    if name not in network.tensors:
        raise BadInput(f"the metadata {SCALES} name {name!r}, which network {network.name} has not")
    return _positive(values, name, network.tensors[name].shape[0])


def _stated(metadata: Mapping[str, str]) -> dict[str, object]:
    """What the metadata say, whatever it is, by tensor."""
    try:
        stated = json.loads(metadata.get(SCALES, "{}"))
    except ValueError as error:
        raise BadInput(f"the metadata {SCALES} are damaged: no JSON") from error
    if not isinstance(stated, dict):
        raise BadInput(f"the metadata {SCALES} are damaged: no JSON object")
    return stated


def _positive(values: object, name: str, channels: int) -> np.ndarray:
    """Numbers, one for each channel, as float64 (C,)."""
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (channels,) or not (np.isfinite(array) & (array > 0)).all():
        raise BadInput(f"the metadata {SCALES} of tensor {name} are not {channels} positive numbers")
    return array
