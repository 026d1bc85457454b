"""A program as C: the tables that `c/shiftpoint.c` reads, and its image, as an array and as a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from string import ascii_letters, digits

import numpy as np

from host.feed import input_format, pixel_table
from hw.contract.layout import Placement
from hw.contract.program import Program
from hw.contract.version import CONTRACT_VERSION
from hw.contract.widths import BYTE_BITS, bytes_of, to_bytes
from quant.base.errors import BadInput

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PLAIN = (ascii_letters + digits + " _.-/:").encode()
_ROW = 20
"""Numbers in a line of an array."""
MOST_TABLES = 16
"""An input of more channels than these takes no pixels: no camera has them, and each costs a table."""


def network_files(program: Program, name: str = "network", layers: bool = False) -> dict[str, bytes]:
    """NAME.h (sizes), NAME.c (tables), NAME_image.c (the image as an array) and NAME.bin (the image).

    name: also of what they define.  layers: what any layer leaves can be read, not the network's outputs alone.
    Raises BadInput for a name that is no plain C identifier in small letters, and for a program that the gateware does
    not run.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"name must be a small letter and up to 31 of a-z, 0-9 and _, not {name!r:.80}")
    wide = [placed.tensor for placed in program.inputs if placed.parts(program.config) > 1]
    if wide:
        raise BadInput(f"program of {program.name}: its input {wide[0]!r} has 16 bits, and the driver in C writes 8")
    program.validate()
    texts = {f"{name}.h": _header(program, name, layers), f"{name}.c": _tables(program, name, layers)}
    image = [f'#include "{name}.h"', "", f"const uint8_t {name}_image[{name.upper()}_IMAGE_BYTES] = {{"]
    texts[f"{name}_image.c"] = _text([*image, *_rows(program.image), "};"])
    return {**{file: text.encode() for file, text in texts.items()}, f"{name}.bin": program.image}


def readable(program: Program, layers: bool) -> list[str]:
    """The tensors that the driver reads: the outputs, and with `layers` all others that are left in memory."""
    others = dict.fromkeys(placed.tensor for placed in program.tensors) if layers else ()
    return list(dict.fromkeys([*program.outputs, *others]))


def _text(lines: Sequence[str]) -> str:
    return "\n".join([*lines, ""])


def _rows(numbers: Sequence[int]) -> Iterator[str]:
    for first in range(0, len(numbers), _ROW):
        yield f"    {', '.join(map(str, numbers[first : first + _ROW]))},"


def _header(program: Program, name: str, layers: bool) -> str:
    """NAME.h."""
    upper, config = name.upper(), program.config
    lines = [
        f"/* {_comment(program.name)} for the engine {config.name} ({config.hash[:8]}): a program for shiftpoint.h. */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        '#include "shiftpoint.h"',
        "",
        f"#if SHIFTPOINT_CONTRACT_VERSION != {CONTRACT_VERSION}",
        f'#error "{name}.h and shiftpoint_registers.h are of different versions: write both again"',
        "#endif",
        "",
        f"#define {upper}_BATCH {program.batch}u /* images of a run */",
        f"#define {upper}_MEMORY_BYTES {program.memory_bytes}u /* of the window */",
        f"#define {upper}_IMAGE_BYTES {len(program.image)}u /* the first of them: instructions and weights */",
    ]
    for kind, names in (("INPUT", list(program.input_shapes)), ("OUTPUT", readable(program, layers))):
        count = len(names) if kind == "INPUT" else len(program.outputs)
        behind = f" /* behind them {len(names) - count} of layers */" if len(names) > count else ""
        lines += ["", f"#define {upper}_{kind}S {count}u{behind}"]
        for index, tensor in enumerate(names):
            shape, placement = _shape(program, tensor, kind == "INPUT"), _of(program, tensor, kind == "INPUT")[0]
            element = f"{'' if placement.fmt.signed else 'u'}int{BYTE_BITS * _element_bytes(placement)}_t"
            what = f"{_comment(tensor)} {shape}, {element} * 2^{-placement.fmt.frac}"
            lines += [f"#define {upper}_{kind}_{index}_ELEMENTS {int(np.prod(shape))}u /* {what} */"]
    lines += [
        "",
        f"extern const struct shiftpoint_network {name};",
        f"extern const uint8_t {name}_image[{upper}_IMAGE_BYTES]; /* {name}_image.c, or {name}.bin at run time */",
        "",
        "#endif",
    ]
    return _text(lines)


def _comment(text: str) -> str:
    """A name out of a file, as it can stand in a comment of C."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "?", text)


def _of(program: Program, tensor: str, is_input: bool) -> list[Placement]:
    return [placed for placed in (program.inputs if is_input else program.tensors) if placed.tensor == tensor]


def _shape(program: Program, tensor: str, is_input: bool) -> tuple[int, int, int]:
    """(C, H, W) of one image."""
    if is_input:
        return program.input_shapes[tensor]
    channels, height, width = (placed := program.placements[tensor]).shape
    return channels, height if placed.image is not None else height // program.batch, width


def _element_bytes(placement: Placement) -> int:
    return bytes_of(placement.fmt.bits)


def _tables(program: Program, name: str, layers: bool) -> str:
    """NAME.c."""
    lines = [f'#include "{name}.h"', ""]
    tensors: dict[str, list[str]] = {}
    for kind, names in (("inputs", list(program.input_shapes)), ("outputs", readable(program, layers))):
        is_input = kind == "inputs"
        tensors[kind] = []
        for index, tensor in enumerate(names):
            prefix = f"{kind[:-1]}_{index}"
            placements = _of(program, tensor, is_input)
            lines += _placements(program, prefix, placements)
            table = _pixels(program, tensor, prefix) if is_input else []
            lines += table
            tensors[kind].append(_tensor(program, tensor, prefix, is_input, bool(table)))
        rows = [f"    {row}," for row in tensors[kind]]
        lines += [f"static const struct shiftpoint_tensor {kind}[{len(rows)}] = {{", *rows, "};", ""]
    values = {
        "name": _string(program.name),
        "config": f"0x{program.config.word:08X}u",
        "program_base": f"{program.program_base}u",
        "instructions": f"{program.instructions}u",
        "memory_bytes": f"{program.memory_bytes}u",
        "image_bytes": f"{len(program.image)}u",
        "image_crc": f"0x{program.image_crc:08X}u",
        "batch": f"{program.batch}u",
        "lanes": f"{program.config.ic_lanes}u",
        "lane_bytes": f"{program.config.derived.lane_bytes}u",
        "inputs": "inputs",
        "outputs": "outputs",
        "input_count": f"{len(program.input_shapes)}u",
        "output_count": f"{len(program.outputs)}u",
        "readable_count": f"{len(tensors['outputs'])}u",
    }
    rows = [f"    .{field} = {value}," for field, value in values.items()]
    return _text([*lines, f"const struct shiftpoint_network {name} = {{", *rows, "};"])


def _string(text: str) -> str:
    """A string of C; what is no plain letter as an octal escape of its UTF-8."""
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _tensor(program: Program, tensor: str, prefix: str, is_input: bool, takes_pixels: bool) -> str:
    placements = _of(program, tensor, is_input)
    fmt = input_format(program, tensor) if is_input else placements[0].fmt
    sizes = ", ".join(f"{size}u" for size in _shape(program, tensor, is_input))
    pixels = f"&{prefix}_pixels[0][0], {prefix}_planes" if takes_pixels else "NULL, NULL"
    element = f"{_element_bytes(placements[0])}, {int(fmt.signed)}, {fmt.frac}"
    return f"{{{_string(tensor)}, {sizes}, {element}, {prefix}_placements, {len(placements)}u, {pixels}}}"


def _placements(program: Program, prefix: str, placements: list[Placement]) -> list[str]:
    lines, rows = [], []
    for k, placed in enumerate(placements):
        own = f"{prefix}_{k}"
        in_order = placed.lanes == tuple(range(len(placed.lanes)))
        if not in_order:
            lines += [f"static const uint32_t {own}_lanes[{len(placed.lanes)}] = {{", *_rows(placed.lanes), "};"]
        if placed.fold is not None:
            fill, window = placed.fold.fill, placed.fold.window
            if fill:
                numbers = ", ".join(map(str, fill))
                lines.append(f"static const int32_t {own}_fill[{len(fill)}] = {{{numbers}}};")
            pairs = ", ".join(f"{{{a}, {b}}}" for a, b in (window.kernel, window.stride, window.dilation))
            top, left, _, _ = window.pads
            value = f"{{{pairs}, {top}, {left}, {f'{own}_fill' if fill else 'NULL'}}}"
            lines.append(f"static const struct shiftpoint_fold {own}_fold = {value};")
        sizes = ", ".join(f"{size}u" for size in placed.shape)
        planes = placed.groups(program.config) * placed.parts(program.config)
        image = -1 if placed.image is None else placed.image
        rows.append(
            f"    {{{placed.address}u, {image}, {sizes}, {planes}u, {placed.plane_bytes(program.config)}u, "
            f"{'NULL' if in_order else f'{own}_lanes'}, {'NULL' if placed.fold is None else f'&{own}_fold'}}},"
        )
    head = f"static const struct shiftpoint_placement {prefix}_placements[{len(rows)}] = {{"
    return [*lines, head, *rows, "};"]


def _pixels(program: Program, tensor: str, prefix: str) -> list[str]:
    """The tables of an input that takes pixels; nothing for another one."""
    table = pixel_table(program, tensor) if program.input_shapes[tensor][0] <= MOST_TABLES else None
    if table is None:
        return []
    rows = [to_bytes(row, input_format(program, tensor).bits).reshape(-1) for row in table.elements]
    lines = [f"static const uint8_t {prefix}_pixels[{len(rows)}][{len(rows[0])}] = {{"]
    for row in rows:
        lines += ["    {", *(f"    {line}" for line in _rows(row.tolist())), "    },"]
    planes = ", ".join(map(str, table.planes))
    return [*lines, "};", f"static const uint8_t {prefix}_planes[{len(table.planes)}] = {{{planes}}};"]
