"""The program file: everything that hardware, models and driver need of a compiled network.

    bytes   contents
    8       magic "SHIFTPT1"
    4, 4    contract version, length of the manifest (little-endian)
    32      SHA-256 of the configuration
    32      SHA-256 of everything after it
    ...     manifest: JSON, UTF-8
    ...     image: the first bytes of the memory window (instructions, weights)

The image holds what never changes; tensors lie in the memory after it.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hw.contract import typed, validator
from hw.contract.config import INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.isa import IllegalInstruction, Instruction, decode
from hw.contract.layout import Placement, apart, pack, unpack
from hw.contract.version import CONTRACT_VERSION
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.inputs import Given, by_input

_MAGIC = b"SHIFTPT1"
_HEADER = struct.Struct("<8sII32s32s")


@dataclass(frozen=True)
class LayerEntry:
    """One layer of the program; instructions carry its index.

    name, op: of the layer that computes.  fused: names of layers that run within it (pooling, Add).
    output: the tensor it leaves in memory, empty where a later layer overwrites it. macs: multiplications of the
    network's layer, padding counted. read_bytes, written_bytes: compulsory ones: elements of input that the layer
    uses, weights, outputs, once each, unpadded, at their stored width.  image: of a run of several the one that it is
    run for, None for all of them; weights count with the first.
    """

    name: str
    op: str
    fused: tuple[str, ...]
    output: str
    macs: int
    read_bytes: int
    written_bytes: int
    image: int | None = None

    def __add__(self, other: LayerEntry) -> LayerEntry:
        """It and the same layer for another image, as one."""
        macs, read = self.macs + other.macs, self.read_bytes + other.read_bytes
        written = self.written_bytes + other.written_bytes
        return replace(self, macs=macs, read_bytes=read, written_bytes=written, image=None)


@dataclass(frozen=True)
class Program:
    """A compiled network.

    config: what it was compiled for.  name: the network's.  batch: images of a run.  input_shapes: (C, H, W) of one
    image, before any folding, of each input by name.  image: initial memory, `program_base` bytes
    in stand `instructions` instructions.  memory_bytes: how much of the window is used (a multiple of
    4096).  inputs: placements the driver writes, each a view of an input, one or more of each (`packed`).
    tensors: placement of every tensor that is left in memory, in execution order.  outputs: names of the network's
    outputs.  layers: in execution order.  metadata: of the network (preprocess.*, quantization.scales, source), and the
    memory that the program was made for.
    """

    config: AcceleratorConfig
    name: str
    input_shapes: dict[str, tuple[int, int, int]]
    image: bytes
    program_base: int
    instructions: int
    memory_bytes: int
    inputs: tuple[Placement, ...]
    tensors: tuple[Placement, ...]
    outputs: tuple[str, ...]
    layers: tuple[LayerEntry, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    batch: int = 1
    _validated: bool = field(default=False, init=False, repr=False, compare=False)

    @cached_property
    def placements(self) -> dict[str, Placement]:
        """A placement of each tensor by name, of several images that of the first."""
        found: dict[str, Placement] = {}
        for placement in self.tensors:
            found.setdefault(placement.tensor, placement)
        return found

    @cached_property
    def turns(self) -> list[tuple[LayerEntry, list[int]]]:
        """The layers, each for all images as one, and its indexes in `layers`: one for each image, or the one."""
        each = sum(layer.image == 0 for layer in self.layers)
        found = [(layer, [k]) for k, layer in enumerate(self.layers) if not layer.image]
        for k, layer in enumerate(self.layers):
            if layer.image:
                entry, indexes = found[k % each]
                found[k % each] = entry + layer, [*indexes, k]
        return found

    @cached_property
    def image_crc(self) -> int:
        """CRC-32 of the image: drivers tell by it whether a memory holds it."""
        return zlib.crc32(self.image)

    def validate(self) -> None:
        """Raise BadInput, in one line, for a program that no engine can run (`validator`).  Done once."""
        if not self._validated:
            validator.check(self)
            object.__setattr__(self, "_validated", True)

    def decode(self) -> Iterator[Instruction]:
        """Its instructions, from the bytes.  Raises BadInput as `validate`."""
        self.validate()
        for i in range(self.instructions):
            yield decode(self._bytes(i))

    def describe(self, index: int) -> str:
        """An instruction by index, opcode and layer, in a batch the image, for messages."""
        try:
            instruction = decode(self._bytes(index))
        except IllegalInstruction:
            return f"instruction {index}"
        layer = instruction.layer
        if layer >= len(self.layers):
            return f"instruction {index} ({instruction.opcode.name}, layer {layer})"
        entry = self.layers[layer]
        image = "" if entry.image is None else f", image {entry.image + 1} of {self.batch}"
        return f"instruction {index} ({instruction.opcode.name}, layer {entry.name}{image})"

    def _bytes(self, index: int) -> bytes:
        start = self.program_base + index * INSTRUCTION_BYTES
        return self.image[start : start + INSTRUCTION_BYTES]

    def packed(self, images: Given) -> Iterator[tuple[int, bytes]]:
        """What has to be written for a run, and where: byte offset in the window, bytes.

        images: integers (n, C, H, W), of several inputs each; the last one also stands for those that lack to the
        batch.  Raises ValueError for more of them, none, or another shape.
        """
        given = by_input(list(self.input_shapes), images)
        for placement in self.inputs:
            values = given[placement.tensor]
            if not 1 <= len(values) <= self.batch:
                raise ValueError(f"{placement.tensor}: a run takes 1 to {self.batch} images, not {len(values)}")
            numbers = range(self.batch) if placement.image is None else [placement.image]
            chosen, fold = [values[min(number, len(values) - 1)] for number in numbers], placement.fold
            below = np.concatenate([image if fold is None else fold.apply(image) for image in chosen], axis=1)
            yield placement.address, pack(below, replace(placement, fold=None), self.config)

    def tensor(self, name: str, read: Callable[[Placement], bytes | np.ndarray]) -> np.ndarray:
        """A tensor of every image of a run, int64 (batch, C, H, W), from what `read` gives of its placements."""
        placed = [placement for placement in self.tensors if placement.tensor == name]
        found = [(unpack(read(placement), placement, self.config), placement.image) for placement in placed]
        return np.concatenate([apart(values, self.batch if image is None else 1) for values, image in found])

    def manifest(self) -> dict[str, Any]:
        """All but the image, as JSON values."""
        return {
            "config": self.config.to_json(),
            "config_hash": self.config.hash,
            "network": self.name,
            "batch": self.batch,
            "input_shapes": {name: list(shape) for name, shape in self.input_shapes.items()},
            "program_base": self.program_base,
            "instructions": self.instructions,
            "memory_bytes": self.memory_bytes,
            "inputs": [p.to_json() for p in self.inputs],
            "tensors": [p.to_json() for p in self.tensors],
            "outputs": list(self.outputs),
            "layers": [vars(layer) for layer in self.layers],
            "metadata": self.metadata,
        }

    def to_bytes(self) -> bytes:
        """The program file."""
        text = json.dumps(self.manifest(), sort_keys=True).encode()
        body = text + self.image
        digest = hashlib.sha256(body).digest()
        return _HEADER.pack(_MAGIC, CONTRACT_VERSION, len(text), bytes.fromhex(self.config.hash), digest) + body

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_atomic(path, self.to_bytes())


@dataclass(frozen=True)
class _Manifest:
    """The manifest as it is read: see `Program`."""

    config: dict[str, Any]
    config_hash: str
    network: str
    batch: int
    input_shapes: dict[str, tuple[int, int, int]]
    program_base: int
    instructions: int
    memory_bytes: int
    inputs: tuple[Placement, ...]
    tensors: tuple[Placement, ...]
    outputs: tuple[str, ...]
    layers: tuple[LayerEntry, ...]
    metadata: dict[str, str]


def from_bytes(data: bytes, name: str = "program", config: AcceleratorConfig | None = None) -> Program:
    """The program in `data`; `name` stands in messages.

    Raises BadInput: no program, another contract version, truncated, corrupted, (with `config`) made
    for another configuration, or one that no engine can run.
    """
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        raise BadInput(f"{name}: not a shiftpoint program")
    _, version, length, config_hash, digest = _HEADER.unpack_from(data)
    if version != CONTRACT_VERSION:
        raise BadInput(f"{name}: made for contract version {version}, this is {CONTRACT_VERSION}; compile it again")
    body = data[_HEADER.size :]
    if hashlib.sha256(body).digest() != digest:
        raise BadInput(f"{name}: truncated or corrupted (checksum does not match)")
    try:
        manifest = typed.read(_Manifest, typed.parse(body[:length], "manifest"), "manifest")
        made_for = AcceleratorConfig.from_json(manifest.config)
        made_for.derived  # noqa: B018 -- raises ConfigError
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    if not manifest.config_hash == made_for.hash == config_hash.hex():
        raise BadInput(f"{name}: corrupted (configuration does not match its hash)")
    if config is not None and config.hash != made_for.hash:
        raise BadInput(
            f"{name}: made for configuration {made_for.name!r} ({made_for.hash[:8]}), "
            f"not for {config.name!r} ({config.hash[:8]})"
        )
    program = Program(
        config=made_for,
        name=manifest.network,
        input_shapes=manifest.input_shapes,
        image=body[length:],
        program_base=manifest.program_base,
        instructions=manifest.instructions,
        memory_bytes=manifest.memory_bytes,
        inputs=manifest.inputs,
        tensors=manifest.tensors,
        outputs=manifest.outputs,
        layers=manifest.layers,
        metadata=manifest.metadata,
        batch=manifest.batch,
    )
    try:
        program.validate()
    except BadInput as error:
        raise type(error)(f"{name}: {error}") from None
    return program


def load(path: Path, config: AcceleratorConfig | None = None) -> Program:
    """Read a program file.  Raises BadInput as `from_bytes`, or when it is missing."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    return from_bytes(data, str(path), config)
