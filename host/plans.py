"""A plan as a file: `optimize` writes the one that it chose, `compress` makes the same network of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from host.artefacts import require_file
from hw.contract import typed
from hw.contract.config import AcceleratorConfig
from quant.base.errors import BadInput
from quant.compress import Candidate, Price, without_channels
from quant.compress.low_rank import low_rank
from quant.ir.graph import FloatGraph
from quant.ir.target import Target
from quant.onnx_file.read import in_one_piece
from quant.optimize import Plan, Reshape
from quant.run.calibration import Progress
from quant.run.images import Images

FORM = "shiftpoint plan 1"
"""What a file of this version says that it is."""

Shaping = Callable[[FloatGraph, Images, float, Price, Target, Progress | None], FloatGraph]


def _channels(
    graph: FloatGraph, images: Images, share: float, price: Price, target: Target, progress: Progress | None
) -> FloatGraph:
    return without_channels(graph, images, share, price, progress=progress)


def _low_rank(
    graph: FloatGraph, images: Images, share: float, price: Price, target: Target, progress: Progress | None
) -> FloatGraph:
    left = 1 - share
    return low_rank(graph, images, left, price=price, lanes=target.lanes, spatial=True, progress=progress).graph


RESHAPES: dict[str, Shaping] = {"channels": _channels, "low rank": _low_rank}
"""The methods that make another shape, so that a share of the price goes; each knows by itself which layers pay."""


@dataclass(frozen=True)
class _File:
    """network: of `identity`.  counts: of `counted`.  layers: of each layer the fields of a `Candidate`, those that
    say nothing left out."""

    form: str
    network: str
    counts: str
    reshapes: tuple[Reshape, ...]
    layers: dict[str, Any]


def identity(network: Path) -> str:
    """SHA-256 of a network's file, decoded and with the weights that it keeps in other files."""
    return sha256(in_one_piece(network)[0]).hexdigest()


def counted(config: AcceleratorConfig | None) -> str:
    """What the shares of a plan are of."""
    return "MACs" if config is None else f"cycles on {config.name} ({config.hash[:8]})"


def written(plan: Plan, network: Path, config: AcceleratorConfig | None) -> dict[str, Any]:
    """A plan for the network of a file, as JSON value."""
    nothing = asdict(Candidate())
    layers = {
        name: {field: value for field, value in asdict(own).items() if value != nothing[field]}
        for name, own in plan.layers.items()
    }
    return asdict(_File(FORM, identity(network), counted(config), plan.reshapes, layers))


def read_plan(path: Path, network: Path, config: AcceleratorConfig | None) -> Plan:
    """The plan of a file.

    Raises BadInput for a file that is none, one for another network or engine, and what no layer can have; whether the
    layers are there is seen once the network has its shape.
    """
    require_file(path)
    try:
        value = typed.parse(path.read_bytes(), path.name)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    if not isinstance(value, dict) or value.get("form") != FORM:
        raise BadInput(f'{path.name}: is no plan: what it says as `form` is not "{FORM}"')
    held = typed.read(_File, value, path.name)
    if held.network != identity(network):
        raise BadInput(f"{path.name}: is a plan for another network than {network.name}, by its SHA-256")
    if held.counts != counted(config):
        raise BadInput(
            f"{path.name}: counts {held.counts}, not {counted(config)}: give the --config that it was made for"
        )
    for reshape in held.reshapes:
        if reshape.method not in RESHAPES:
            raise BadInput(f"{path.name}: a shape comes of {' or '.join(RESHAPES)}, not of {reshape.method!r:.40}")
        if not 0 < reshape.share < 1:
            raise BadInput(f"{path.name}: the share that goes is above 0 and below 1, not {reshape.share:g}")
    return Plan(held.reshapes, {name: _own(given, path.name, name) for name, given in held.layers.items()}, path.name)


def _own(given: Any, file: str, layer: str) -> Candidate:
    where = f"{file}.layers.{layer}"
    stated = typed.read(dict[str, Any], given, where)
    found: Candidate = typed.read(Candidate, asdict(Candidate()) | stated, where)
    try:
        found.check()
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None
    return found


def described(plan: Plan) -> dict[str, str]:
    """A plan as metadata of its file."""
    words = {"reshapes": ", ".join(map(str, plan.reshapes))}
    words["layers"] = "\n".join(f"{name}: {candidate}" for name, candidate in plan.layers.items())
    return {f"compression.{name}": text for name, text in words.items() if text}
