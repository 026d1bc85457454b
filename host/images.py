"""The images of a run: the first ones of a file, kept in its build folder to simulate and to show."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from host.artefacts import BuildFolder
from host.comparison import SHOWN_IMAGES
from quant.base.errors import BadInput
from quant.ir.inputs import Given, by_input, together
from quant.ir.network import Network
from quant.run.images import arrays_of, load_images
from quant.run.npz import open_npz


def require_images(path: Path, count: int) -> None:
    """Raise BadInput for a file of fewer images of a single input, before all the work."""
    stored = open_npz(path, ["images"]).get("images")
    if stored is not None and stored.ndim:
        _require_count(path, len(stored), count)


def _require_count(path: Path, held: int, count: int) -> None:
    if held < count:
        raise BadInput(f"{path}: holds {held} images, {count} are needed")


def images_to_keep(network: Network, source: Path, count: int) -> bytes:
    """images.npz: the first images of a file, as the network takes them, to simulate and to show."""
    images, _ = load_images(source, network, limit=max(count, SHOWN_IMAGES))
    _require_count(source, len(images), count)
    given, buffer = by_input(network.inputs, images), io.BytesIO()
    arrays: dict[str, Any] = {}
    for name, array in arrays_of(network).items():
        arrays |= {array: given[name][:count], shown_as(array): given[name][:SHOWN_IMAGES]}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def shown_as(array: str) -> str:
    """The array of images.npz that holds what is shown of the images in another one."""
    return "shown" if array == "images" else f"shown {array}"


def kept_images(folder: BuildFolder, network: Network) -> tuple[Given, Given]:
    """The images of a build folder, float32 (N, C, H, W) of each input: those simulated, those shown."""
    images, _ = load_images(folder.images, network)
    shown = {}
    for name, array in arrays_of(network).items():
        stored = open_npz(folder.images, [shown_as(array)]).get(shown_as(array))
        shown[name] = np.zeros(0) if stored is None else stored.whole()
        if shown[name].shape[1:] != network.input_shapes[name] or shown[name].dtype != np.float32:
            raise BadInput(f"{folder.images}: damaged; make it again with `run`")
    return images, together(shown)
