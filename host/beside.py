"""Another network beside that of a build folder, the plain one beside a compressed one: what both cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from host.artefacts import BuildFolder
from host.cost import cost
from host.terminal import Reporter
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from quant import qdq
from quant.ir.network import Network
from quant.run.evaluation import answers
from quant.run.images import open_images


def quantized_of(given: Path) -> Path:
    """The quantized network of a build folder, or the file itself."""
    return BuildFolder(given).quantized if given.is_dir() else given


def right(network: Network, images: Path, reporter: Reporter) -> float | None:
    """The share of a file's images that a network puts into their class; None without labels."""
    shown, labels = open_images(images, network, labels=None)
    return None if labels is None else float((answers(network, shown, reporter.step) == labels).mean())


def both_costs(
    folder: BuildFolder,
    name: str,
    config: AcceleratorConfig,
    memory: Memory,
    right: tuple[float | None, float | None],
    reporter: Reporter,
) -> dict[str, Any]:
    """What cost.json holds: of the folder's network and of the one beside it, which people know as `name`.

    right: share of right answers of each.
    """
    own, other = (
        cost(qdq.load(path), config, memory, share, reporter.step)
        for path, share in zip((folder.quantized, folder.beside), right, strict=True)
    )
    return {"name": name, "network": own, "beside": other}
