"""Signatures of the ports and of what the blocks say to one another."""

from __future__ import annotations

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import PAGE_BYTES, AcceleratorConfig
from hw.contract.isa import Unit
from hw.contract.widths import bytes_of
from hw.gateware.decode import INSTRUCTION_BITS

ADDRESS_BITS = 32
"""Bits of a byte address on the memory port."""
PAGE_BITS = exact_log2(PAGE_BYTES)
"""Bits of a byte address within a page."""
BEATS_BITS = 9
"""Holds the length of a burst, 1 to 256 beats."""
UNITS = len(Unit)
"""How many units there are: the width of wait and signal masks."""

BURST_INCR = 1
CACHE = 0b0011
"""AxCACHE of every burst: normal memory, not cached, bufferable."""


def unit_front(most: int) -> wiring.Signature:
    """Where instructions enter a unit and leave it again, seen from the queue.

    instruction, valid (out), ready (in): the head of the unit's queue.  `valid`: it is there, and so is every token
        that it waits for.  In the cycle with `valid & ready` it leaves the queue and its tokens are taken.  The head is
        shown from the cycle before `valid` on, and stays for the cycle after it left; there is no `valid` in that one
        and the next.
        `ready` is a register: the unit had a place in the cycle before, and took nothing then.  So the place takes the
        head in every cycle in which it is free, and what the unit starts, and whether it is legal, comes out of
        registers; `valid & ready` is known late, and chooses little.
    done (in): a pulse, an instruction has ended.  signal (in): the units that it then gives a token to.
        Instructions end in the order in which they were taken.
    in_flight (in): instructions that were taken and are not done, at most `most`; a register.
    illegal (in): a pulse, the unit was given an instruction that it cannot run: in the cycle before, unless the
        unit's own text says otherwise.  Such an instruction has no effect and is never done.
    """
    return wiring.Signature(
        {
            "instruction": Out(INSTRUCTION_BITS),
            "valid": Out(1),
            "ready": In(1, init=1),
            "done": In(1),
            "signal": In(UNITS),
            "in_flight": In(range(most + 1)),
            "illegal": In(1),
        }
    )


def _address_channel(prefix: str) -> dict[str, wiring.Member]:
    return {
        f"{prefix}id": Out(1),
        f"{prefix}addr": Out(ADDRESS_BITS),
        f"{prefix}len": Out(8),
        f"{prefix}size": Out(3),
        f"{prefix}burst": Out(2),
        f"{prefix}lock": Out(1),
        f"{prefix}cache": Out(4),
        f"{prefix}prot": Out(3),
        f"{prefix}qos": Out(4),
        f"{prefix}valid": Out(1),
        f"{prefix}ready": In(1),
    }


def _read_channels(bits: int) -> dict[str, wiring.Member]:
    return {
        **_address_channel("ar"),
        "rid": In(1),
        "rdata": In(bits),
        "rresp": In(2),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }


def _write_channels(bits: int) -> dict[str, wiring.Member]:
    return {
        **_address_channel("aw"),
        "wdata": Out(bits),
        "wstrb": Out(bytes_of(bits)),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bid": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
    }


def axi4(bits: int) -> wiring.Signature:
    """AXI4 with `bits` of data, seen from the manager.  Every burst has ID 0 and full beats (INCR)."""
    return wiring.Signature({**_read_channels(bits), **_write_channels(bits)})


def axi4_read(bits: int) -> wiring.Signature:
    """The AR and R channels of `axi4`."""
    return wiring.Signature(_read_channels(bits))


def axi4_write(bits: int) -> wiring.Signature:
    """The AW, W and B channels of `axi4`."""
    return wiring.Signature(_write_channels(bits))


def axi_lite(address_bits: int) -> wiring.Signature:
    """AXI4-Lite with 32 bits of data, seen from the manager."""
    return wiring.Signature(
        {
            "awaddr": Out(address_bits),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_bits),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def size_of(config: AcceleratorConfig) -> int:
    """AxSIZE of every burst: log2 of the bytes of a beat."""
    return exact_log2(config.derived.beat_bytes)


def burst_request(tag: data.Layout) -> data.StructLayout:
    """A burst asked of a port: `offset` in bytes in the memory window (a multiple of the beat), its length
    in `beats`, and a `tag` that comes back with its beats or its response."""
    return data.StructLayout({"offset": ADDRESS_BITS, "beats": BEATS_BITS, "tag": tag})


NO_TAG = data.StructLayout({})
"""The tag of a client that needs none."""

NUMBERED = data.StructLayout({"instruction": INSTRUCTION_BITS, "index": 32})
"""An instruction and its place in the program."""

FAULT = data.StructLayout({"valid": 1, "address": ADDRESS_BITS})
"""An error, in this cycle: `address` is what ERROR_ADDRESS reads as."""
