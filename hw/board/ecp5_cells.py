"""Four steps of technology mapping that Yosys leaves out for an ECP5, on the netlist that it gives to nextpnr.

A carry cell has a table of four inputs before each bit of its chain, of which an addition uses two: a `LUT4` that only
this bit reads goes into that table, where both fit.  A multiplier block has a register at its output: the flip-flops
behind a product, where nothing else reads it, are that register.  So has a block RAM, with a clock enable of its own
(Lattice, TN1264, "ECP5 and ECP5-5G Memory Usage Guide", on REGMODE and OCE): it answers 5.8 ns after the clock
edge without, 1.0 ns with it.  A multiplier block takes 18 bits of each factor: Yosys lays a narrower signed one into
the lowest of them and its sign into all others, each a pin that wants a wire of its own.  Laid into the highest ones,
with zeros below, which are no wires, it takes a pin a bit, and the product lies as much higher.  None of them changes
what the netlist computes in any cycle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

Net = int | str
"""A bit of a net, or a constant: "0", "1", "x"."""
Cell = dict
INPUTS = "ABCD"
FACTOR_BITS = 18
"""Of a factor of a multiplier block."""


class Netlist:
    """The top module of a netlist in Yosys' JSON: its cells, and who reads and drives each bit."""

    def __init__(self, design: dict, top: str) -> None:
        module = design["modules"][top]
        self.cells: dict[str, Cell] = module["cells"]
        self.readers: Counter[Net] = Counter(bit for port in module["ports"].values() for bit in port["bits"])
        self.drivers: dict[Net, str] = {}
        self.reading: dict[Net, str] = {}  # one of the cells that read a bit
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"].get(port) == "output":
                    self.drivers.update((bit, name) for bit in bits)
                else:
                    self.readers.update(bits)
                    self.reading.update((bit, name) for bit in bits)

    def of_type(self, kind: str) -> Iterator[tuple[str, Cell]]:
        """Cells of a type, by name; cells may be taken away meanwhile."""
        for name, cell in list(self.cells.items()):
            if cell["type"] == kind:
                yield name, cell

    def only_driver(self, bit: Net, kind: str) -> str | None:
        """The cell of that type that drives a bit which is read once."""
        name = self.drivers.get(bit)
        alone = name in self.cells and self.cells[name]["type"] == kind and self.readers[bit] == 1
        return name if alone else None


def tables_into_carries(netlist: Netlist) -> int:
    """Puts tables into the carry cells that alone read them; returns how many."""
    moved = 0
    for _, carry in netlist.of_type("CCU2C"):
        for half in "01":
            while _one_table_into(netlist, carry, half):
                moved += 1
    return moved


def _one_table_into(netlist: Netlist, carry: Cell, half: str) -> bool:
    wires = carry["connections"]
    for pin in INPUTS:
        name = netlist.only_driver(wires[pin + half][0], "LUT4")
        if name and (found := _merged(carry, half, pin, netlist.cells[name])):
            carry["parameters"][f"INIT{half}"], pins = found
            wires.update({place + half: [bit] for place, bit in pins.items()})
            del netlist.cells[name]
            return True
    return False


def _value(init: str, inputs: dict[str, int]) -> int:
    """What a table says; `init` as Yosys writes it, the highest bit first."""
    return int(init[-1 - sum(inputs[pin] << i for i, pin in enumerate(INPUTS))])


def _merged(carry: Cell, half: str, at: str, table: Cell) -> tuple[str, dict[str, Net]] | None:
    """The table of a half of a carry cell, and its four wires, when the LUT4 in front of the pin `at` is in it.

    A carry cell's half gives carry ^ table(A, B, C, D), and hands on the carry where the table is 1, else what the
    table says for these A and B with C and D 0.  So that has to come out as before, wherever it matters.
    """
    before = {pin: carry["connections"][pin + half][0] for pin in INPUTS}
    inner = {pin: table["connections"][pin][0] for pin in INPUTS}
    init, inner_init = carry["parameters"][f"INIT{half}"], table["parameters"]["INIT"]
    others = {bit for pin, bit in before.items() if pin != at} | set(inner.values())
    nets = sorted(bit for bit in others if isinstance(bit, int))
    if len(nets) > len(INPUTS) or "x" in others:
        return None
    rows = []  # by the values of `nets`: what the table gives, and what goes on where it gives 0
    for values in product((0, 1), repeat=len(nets)):
        now: dict[Net, int] = {"0": 0, "1": 1}
        now.update(zip(nets, values, strict=True))
        inputs = {pin: now[bit] for pin, bit in before.items() if pin != at}
        inputs[at] = _value(inner_init, {pin: now[bit] for pin, bit in inner.items()})
        rows.append((now, _value(init, inputs), _value(init, {**inputs, "C": 0, "D": 0})))
    for places in permutations([*nets, *"1111"[len(nets) :]]):
        pins: dict[str, Net] = dict(zip(INPUTS, places, strict=True))
        if found := _table(rows, pins):
            return found, pins
    return None


def _table(rows: list[tuple[dict[Net, int], int, int]], pins: dict[str, Net]) -> str | None:
    """A table that gives what `rows` ask for, with these wires; None if two of them contradict each other."""
    bits: dict[int, int] = {}
    for now, propagate, generate in rows:
        index = sum(now[bit] << i for i, bit in enumerate(pins.values()))
        wanted = [(index, propagate)] + ([] if propagate else [(index & 3, generate)])
        for place, value in wanted:
            if bits.setdefault(place, value) != value:
                return None
    return "".join(str(bits.get(i, 0)) for i in reversed(range(1 << len(INPUTS))))


@dataclass(frozen=True)
class _Register:
    """How flip-flops take a bit: at which clock, and where which net is 1 ("1": always)."""

    clock: Net
    enable: Net


def registers_into_multipliers(netlist: Netlist) -> int:
    """Makes flip-flops behind products the registers of their multiplier blocks; returns how many flip-flops."""
    moved = 0
    for _, block in netlist.of_type("MULT18X18D"):
        products = [port for port in block["connections"] if port[0] == "P" and port[1:].isdigit()]
        if (register := _behind(netlist, block, products)) is None or register.enable != "1":
            continue
        moved += _take_registers(netlist, block, products)
        block["parameters"]["REG_OUTPUT_CLK"] = "CLK0"
        _connect(block, {"CLK0": register.clock, "CE0": "1", "RST0": "0"})
    return moved


def factors_to_the_top(netlist: Netlist) -> int:
    """Lays signed factors of multiplier blocks into the highest bits; returns how many pins have no wire any more.

    Where a copy of the product's sign above its highest bit is read, both stay: there is no pin for it then.
    """
    freed = 0
    for _, block in netlist.of_type("MULT18X18D"):
        wires = block["connections"]
        copies = {factor: _copies_of_sign(wires, factor) for factor in "AB"}
        products = [wires[f"P{i}"] for i in range(2 * FACTOR_BITS)]
        up = sum(copies.values())
        if any(netlist.readers[bit] for bits in products[len(products) - up :] for bit in bits):
            continue
        for factor, count in copies.items():
            pins = [wires[f"{factor}{i}"] for i in range(FACTOR_BITS)]
            wires.update({f"{factor}{i}": bits for i, bits in enumerate(_up(pins, count, [["0"]] * count))})
        wires.update({f"P{i}": bits for i, bits in enumerate(_up(products, up, products[len(products) - up :]))})
        freed += up
    return freed


def _up(pins: list[list[Net]], count: int, below: list[list[Net]]) -> list[list[Net]]:
    return below + pins[: len(pins) - count]


def _copies_of_sign(wires: dict[str, list[Net]], factor: str) -> int:
    """How many of a factor's highest pins have its sign again, on a net."""
    sign = wires[f"{factor}{FACTOR_BITS - 1}"]
    if wires[f"SIGNED{factor}"] != ["1"] or isinstance(sign[0], str):
        return 0
    low = next((i for i in reversed(range(FACTOR_BITS)) if wires[f"{factor}{i}"] != sign), -1)
    return FACTOR_BITS - 1 - (low + 1)


def registers_into_memories(netlist: Netlist) -> int:
    """Makes flip-flops behind block RAMs the RAMs' own registers; returns how many flip-flops.

    A port of 36 bits reads with the data outputs of both ports, at the clock of the second one.
    """
    moved = 0
    for _, memory in netlist.of_type("DP16KD"):
        wide = int(memory["parameters"]["DATA_WIDTH_A"], 2) == 36
        for ports in ("AB",) if wide else ("A", "B"):
            read = ports[-1]
            outputs = [f"DO{port}{i}" for port in ports for i in range(18) if f"DO{port}{i}" in memory["connections"]]
            wires, parameters = memory["connections"], memory["parameters"]
            always = wires[f"CE{read}"] == ["1"] and wires[f"RST{read}"] == ["0"]
            rising = parameters[f"CLK{read}MUX"].strip() == f"CLK{read}"
            register = _behind(netlist, memory, outputs)
            if register is None or [register.clock] != wires[f"CLK{read}"] or not (always and rising):
                continue
            moved += _take_registers(netlist, memory, outputs)
            for port in ports:
                parameters[f"REGMODE_{port}"] = "OUTREG"
                _connect(memory, {f"OCE{port}": register.enable})
    return moved


def _behind(netlist: Netlist, block: Cell, ports: Iterable[str]) -> _Register | None:
    """How the flip-flops behind a block's outputs take them, if nothing else reads these, and all do alike."""
    bits = [block["connections"][port][0] for port in ports]
    registers = {_register(netlist, bit) for bit in bits if netlist.readers[bit]}
    return registers.pop() if len(registers) == 1 else None


def _register(netlist: Netlist, bit: Net) -> _Register | None:
    """How the flip-flop takes a bit that alone reads it; None if there is none, or it is ever set or reset, is 1 at
    first, or takes at the falling edge or while its enable is 0."""
    cell = netlist.cells.get(netlist.reading.get(bit, ""))
    if cell is None or cell["type"] != "TRELLIS_FF" or netlist.readers[bit] != 1:
        return None
    wires, parameters = cell["connections"], {name: value.strip() for name, value in cell["parameters"].items()}
    enabled = parameters.get("CEMUX", "1")
    never_set = wires.get("LSR", ["0"]) == ["0"] and parameters.get("REGSET", "RESET") == "RESET"
    rising = parameters.get("CLKMUX", "CLK") == "CLK" and enabled in ("1", "CE")
    if wires["DI"] != [bit] or not never_set or not rising:
        return None
    return _Register(wires["CLK"][0], wires["CE"][0] if enabled == "CE" else "1")


def _take_registers(netlist: Netlist, block: Cell, ports: Iterable[str]) -> int:
    """Lets outputs of a block drive what the flip-flops behind them drove; returns how many."""
    taken = 0
    for port in ports:
        name = netlist.reading.get(block["connections"][port][0])
        if name is not None:
            block["connections"][port] = netlist.cells.pop(name)["connections"]["Q"]
            taken += 1
    return taken


def _connect(block: Cell, inputs: dict[str, Net]) -> None:
    for port, net in inputs.items():
        block["connections"][port] = [net]
        block["port_directions"][port] = "input"


def improve(path: Path, top: str) -> dict[str, int]:
    """Rewrites a netlist; returns what went where, by its name."""
    design = json.loads(path.read_text())
    netlist = Netlist(design, top)
    counts = {
        "LUT4 into carry cells": tables_into_carries(netlist),
        "flip-flops into multiplier blocks": registers_into_multipliers(netlist),
        "flip-flops into block RAMs": registers_into_memories(netlist),
        "copies of signs off multiplier blocks": factors_to_the_top(netlist),
    }
    path.write_text(json.dumps(design))
    return counts
