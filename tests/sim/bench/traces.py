"""Traces of both ports, cycle by cycle, each with the rules of the protocol that it breaks."""

from __future__ import annotations

from collections.abc import Iterator

Cycle = dict[str, int]
"""Signals of `planted.sv` in one cycle; the others are 0, and every READY is 1."""
Trace = tuple[tuple[str, ...], list[Cycle]]
"""What is broken, as the checkers say it, and the cycles after a reset."""

CHANNELS = ("ar", "r", "aw", "w", "b")
ADDRESS = {"qos": 4, "prot": 3, "cache": 4, "lock": 1, "burst": 2, "size": 3, "len": 8, "addr": 32, "id": 1}
"""Widths of the fields of an address, lowest first."""


def address(channel: str, **fields: int) -> Cycle:
    """An address offered, right but for the fields given."""
    values = {"cache": 3, "burst": 1, "size": 2, **fields}
    payload = at = 0
    for name, width in ADDRESS.items():
        payload |= values.get(name, 0) << at
        at += width
    return {f"{channel}valid": 1, channel: payload}


def read(data: int = 0, resp: int = 0, last: int = 1, id: int = 0) -> Cycle:
    return {"rvalid": 1, "r": id << 35 | data << 3 | resp << 1 | last}


def write(data: int = 0, last: int = 1) -> Cycle:
    return {"wvalid": 1, "w": data << 5 | 0b1111 << 1 | last}


def answer(resp: int = 0, id: int = 0) -> Cycle:
    return {"bvalid": 1, "b": id << 2 | resp}


AR, AW = address("ar"), address("aw")
RULES = {
    "BURST is not INCR": {"burst": 2},
    "SIZE is not that of a whole beat": {"size": 1},
    "ADDR is no multiple of a beat": {"addr": 0x1002},
    "the burst crosses 4 KiB": {"addr": 0x1FFC, "len": 1},
    "ID is not 0": {"id": 1},
    "LOCK is not 0": {"lock": 1},
    "CACHE is not 0011": {"cache": 2},
    "PROT is not 0": {"prot": 2},
    "QOS is not 0": {"qos": 1},
}
"""What an address breaks, and the field that does."""

# Of each channel, what must come before it offers something, and what it then offers.
OFFERS: dict[str, tuple[list[Cycle], Cycle, Cycle]] = {
    "ar": ([], AR, address("ar", addr=64)),
    "r": ([AR], read(1), read(2)),
    "aw": ([], AW, address("aw", addr=64)),
    "w": ([AW], write(1), write(2)),
    "b": ([AW, write()], answer(), answer(2)),
    "l_ar": ([], {"l_arvalid": 1, "l_ar": 4}, {"l_arvalid": 1, "l_ar": 8}),
    "l_r": ([{"l_arvalid": 1}], {"l_rvalid": 1}, {"l_rvalid": 1, "l_r": 4}),
    "l_aw": ([], {"l_awvalid": 1, "l_aw": 4}, {"l_awvalid": 1, "l_aw": 8}),
    "l_w": ([], {"l_wvalid": 1, "l_w": 4}, {"l_wvalid": 1, "l_w": 8}),
    "l_b": ([{"l_awvalid": 1}, {"l_wvalid": 1}], {"l_bvalid": 1}, {"l_bvalid": 1, "l_b": 2}),
}


def said(signal: str) -> str:
    """A channel as the checkers name it."""
    return f"register port, {signal[2:].upper()}" if signal.startswith("l_") else signal.upper()


def handshakes() -> Iterator[Trace]:
    """What every channel can break."""
    for channel, (before, offer, other) in OFFERS.items():
        name, waits = said(channel), {**offer, f"{channel}ready": 0}
        yield (f"{name}: VALID falls before READY",), [*before, waits, {}]
        yield (f"{name}: what is offered changes before READY",), [*before, waits, other]
        yield (f"{name}: VALID in reset",), [{"rst": 1}, {"rst": 1, f"{channel}valid": 1}]


def addresses() -> Iterator[Trace]:
    for channel in ("ar", "aw"):
        for rule, fields in RULES.items():
            yield (f"{said(channel)}: {rule}",), [address(channel, **fields)]
    yield ("AR: LEN is beyond the longest burst",), [address("ar", len=64)]
    yield ("AW: LEN is beyond the longest burst",), [address("aw", len=16)]


def answers() -> Iterator[Trace]:
    no_read = "R: VALID without a burst that was asked for"
    early = "B: VALID before the burst's address and last beat"
    yield (no_read,), [read()]
    yield (no_read,), [AR | read()]
    yield (no_read,), [AR, read(), read()]
    yield ("R: LAST is not on the burst's last beat",), [address("ar", len=1), read(), read()]
    yield ("R: LAST is not on the burst's last beat",), [AR, read(last=0)]
    yield ("R: RESP is EXOKAY",), [AR, read(resp=1)]
    yield ("R: ID is not 0",), [AR, read(id=1)]
    yield (early,), [answer()]
    yield (early,), [AW, answer()]
    yield (early,), [write(), answer()]
    yield (early,), [AW, write() | answer()]
    yield (early,), [AW, write(), answer(), answer()]
    yield (early,), [address("aw", len=1), write(last=0), answer()]
    yield ("B: RESP is EXOKAY",), [AW, write(), answer(resp=1)]
    yield ("B: ID is not 0",), [AW, write(), answer(id=1)]


def data() -> Iterator[Trace]:
    last = "W: LAST is not on the burst's last beat"
    length = "AW: the burst's data came before and had another length"
    yield (last,), [address("aw", len=1), write()]
    yield (last,), [AW, write(last=0)]
    yield (length,), [write(last=0), write(), AW]
    yield (length,), [write(last=0), AW]
    yield (length,), [write(), write(), AW, address("aw", len=1)]


def registers() -> Iterator[Trace]:
    no_read, early = (
        "register port, R: VALID without a read",
        "register port, B: VALID before address and data of a write",
    )
    taken = {"l_awvalid": 1, "l_wvalid": 1}
    yield (no_read,), [{"l_rvalid": 1}]
    yield (no_read,), [{"l_arvalid": 1, "l_rvalid": 1}]
    yield (no_read,), [{"l_arvalid": 1}, {"l_rvalid": 1}, {"l_rvalid": 1}]
    yield ("register port, R: RESP is EXOKAY",), [{"l_arvalid": 1}, {"l_rvalid": 1, "l_r": 1}]
    yield (early,), [{"l_awvalid": 1}, {"l_bvalid": 1}]
    yield (early,), [{"l_wvalid": 1}, {"l_bvalid": 1}]
    yield (early,), [taken | {"l_bvalid": 1}]
    yield (early,), [taken, {"l_bvalid": 1}, {"l_bvalid": 1}]
    yield ("register port, B: RESP is EXOKAY",), [taken, {"l_bvalid": 1, "l_b": 1}]


def right() -> Iterator[Trace]:
    """What looks odd and breaks nothing: long bursts, data before addresses, waiting, errors, many under way."""
    yield (), [address("ar", len=63, addr=0x1F00), *[read(k, last=0) for k in range(63)], read()]
    yield (), [AR, AR, AR, read(resp=2), read(resp=3), read()]
    yield (), [AR | {"arready": 0}, AR | {"arready": 0}, AR, {}, read() | {"rready": 0}, read()]
    yield (), [write() | {"wready": 0}, write(), write(last=0), AW, answer(2), write(), address("aw", len=1), answer()]
    yield (), [write(last=0), address("aw", len=2), write(last=0), write(), answer() | {"bready": 0}, answer()]
    yield (), [AW | write(), AW | write() | answer(), answer()]
    yield (), [address("aw", len=15), *[write(last=0) for _ in range(15)], write(), answer()]
    yield (), [{"l_wvalid": 1}, {"l_awvalid": 1}, {"l_bvalid": 1, "l_bready": 0}, {"l_bvalid": 1, "l_b": 0}]
    yield (), [{"l_arvalid": 1, "l_arready": 0}, {"l_arvalid": 1}, {"l_rvalid": 1, "l_r": 2}]


def traces() -> list[Trace]:
    """All of them."""
    return [*right(), *handshakes(), *addresses(), *answers(), *data(), *registers()]
