"""The engine as an IP-XACT component, IEEE 1685-2009, as Vivado's IP catalog reads it.

Buses are of Xilinx' definitions (aximm, clock, reset, interrupt), since these are what block designs connect.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from hw.contract.config import PAGE_BYTES
from hw.contract.registers import REGISTER_BITS, REGISTERS, Register, RegisterField
from hw.package import wrapper
from hw.package.interfaces import INTERRUPT, MEMORY, Description
from hw.package.interfaces import REGISTERS as REGISTER_PORT

FILE = "component.xml"
VENDOR, LIBRARY = "shiftpoint", "engine"
SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
"""Namespace of the standard."""
XILINX = "http://www.xilinx.com"
"""Namespace of what Vivado keeps among the vendor's extensions."""
FAMILIES = (
    *("artix7", "kintex7", "spartan7", "virtex7", "zynq"),
    *("artixuplus", "kintexu", "kintexuplus", "virtexu", "virtexuplus", "zynquplus"),
)
"""Families of parts for which Vivado offers it.  There is nothing in the Verilog that others would not have."""
VIEWS = {
    "xilinx_anylanguagesynthesis": ":vivado.xilinx.com:synthesis",
    "xilinx_anylanguagebehavioralsimulation": ":vivado.xilinx.com:simulation",
}
"""By name what the sources are for; the same for both."""
_ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only", "w1c": "read-write"}


def vlnv(engine: Description) -> tuple[str, str, str, str]:
    """Vendor, library, name, version: the same for the same configuration's name and contract, whenever it is made."""
    return VENDOR, LIBRARY, engine.identifier, engine.version


def component(engine: Description, sources: Iterable[str]) -> str:
    """component.xml.  sources: names of the Verilog files beside it, the wrapper's among them."""
    root = ET.Element(_of(SPIRIT, "component"))
    for tag, text in zip(("vendor", "library", "name", "version"), vlnv(engine), strict=True):
        _add(root, tag, text)
    _buses(_add(root, "busInterfaces"), engine)
    space = _add(_add(root, "addressSpaces"), "addressSpace")
    _add(space, "name", MEMORY)
    _add(space, "range", str(1 << _width(engine, f"{MEMORY}_araddr")))
    _add(space, "width", str(engine.config.axi_bits))
    _map(_add(_add(root, "memoryMaps"), "memoryMap"))
    _model(_add(root, "model"), engine)
    _files(_add(root, "fileSets"), sources)
    _add(root, "description", f"shiftpoint convolution engine, configuration {engine.config.name}")
    name = _parameter(_add(root, "parameters"), "Component_Name", f"{engine.identifier}_0")
    name.attrib |= {_of(SPIRIT, "resolve"): "user", _of(SPIRIT, "id"): "PARAM_VALUE.Component_Name"}
    _extensions(_add(root, "vendorExtensions"), engine)
    ET.register_namespace("spirit", SPIRIT)
    ET.register_namespace("xilinx", XILINX)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _of(space: str, tag: str) -> str:
    return f"{{{space}}}{tag}"


def _add(parent: ET.Element, tag: str, text: str | None = None, space: str = SPIRIT) -> ET.Element:
    element = ET.SubElement(parent, _of(space, tag))
    element.text = text
    return element


def _width(engine: Description, name: str) -> int:
    return next(pin.width for pin in engine.pins if pin.name == name)


def _parameter(parameters: ET.Element, name: str, value: str) -> ET.Element:
    """A parameter; gives its value."""
    parameter = _add(parameters, "parameter")
    _add(parameter, "name", name)
    return _add(parameter, "value", value)


def _bus(
    buses: ET.Element,
    name: str,
    kind: tuple[str, str],
    role: str,
    pins: dict[str, str],
    parameters: dict[str, str],
    reference: tuple[str, str] | None = None,
) -> None:
    """A bus interface.  kind: library and name of its type.  pins: by their names in that type those of the module.
    reference: tag and name of the address space or memory map behind it."""
    library, of = kind
    bus = _add(buses, "busInterface")
    _add(bus, "name", name)
    for tag, suffix in (("busType", ""), ("abstractionType", "_rtl")):
        about = {"vendor": "xilinx.com", "library": library, "name": f"{of}{suffix}", "version": "1.0"}
        _add(bus, tag).attrib |= {_of(SPIRIT, key): value for key, value in about.items()}
    mode = _add(bus, role)
    if reference is not None:
        tag, to = reference
        _add(mode, tag).set(_of(SPIRIT, tag), to)
    ports = _add(bus, "portMaps")
    for logical, physical in pins.items():
        port = _add(ports, "portMap")
        _add(_add(port, "logicalPort"), "name", logical)
        _add(_add(port, "physicalPort"), "name", physical)
    held = _add(bus, "parameters")
    for key, value in parameters.items():
        _parameter(held, key, value)


def _axi(engine: Description, interface: str) -> dict[str, str]:
    return {pin.name.removeprefix(f"{interface}_").upper(): pin.name for pin in engine.of(interface)}


def _buses(buses: ET.Element, engine: Description) -> None:
    """Memory port, registers, clock, reset, interrupt."""
    config = engine.config
    memory = {
        "PROTOCOL": "AXI4",
        "DATA_WIDTH": str(config.axi_bits),
        "ADDR_WIDTH": str(_width(engine, f"{MEMORY}_araddr")),
        "ID_WIDTH": str(_width(engine, f"{MEMORY}_arid")),
        "READ_WRITE_MODE": "READ_WRITE",
        "SUPPORTS_NARROW_BURST": "0",
        "NUM_READ_OUTSTANDING": str(config.read_outstanding),
        "NUM_WRITE_OUTSTANDING": str(config.write_outstanding),
        "MAX_BURST_LENGTH": str(config.derived.longest_read),
    }
    registers = {
        "PROTOCOL": "AXI4LITE",
        "DATA_WIDTH": str(REGISTER_BITS),
        "ADDR_WIDTH": str(_width(engine, f"{REGISTER_PORT}_araddr")),
        "READ_WRITE_MODE": "READ_WRITE",
    }
    clock = {"ASSOCIATED_BUSIF": f"{MEMORY}:{REGISTER_PORT}", "ASSOCIATED_RESET": wrapper.RESET}
    aximm = ("interface", "aximm")
    _bus(buses, MEMORY, aximm, "master", _axi(engine, MEMORY), memory, ("addressSpaceRef", MEMORY))
    _bus(buses, REGISTER_PORT, aximm, "slave", _axi(engine, REGISTER_PORT), registers, ("memoryMapRef", REGISTER_PORT))
    _bus(buses, wrapper.CLOCK, ("signal", "clock"), "slave", {"CLK": wrapper.CLOCK}, clock)
    _bus(buses, wrapper.RESET, ("signal", "reset"), "slave", {"RST": wrapper.RESET}, {"POLARITY": "ACTIVE_LOW"})
    _bus(buses, INTERRUPT, ("signal", "interrupt"), "master", {"INTERRUPT": INTERRUPT}, {"SENSITIVITY": "LEVEL_HIGH"})


def _map(registers: ET.Element) -> None:
    """The registers.  Their block is the least that AXI gives a subordinate; they are there again and again in it."""
    _add(registers, "name", REGISTER_PORT)
    block = _add(registers, "addressBlock")
    _add(block, "name", "registers")
    _add(block, "baseAddress", "0")
    _add(block, "range", str(PAGE_BYTES))
    _add(block, "width", str(REGISTER_BITS))
    _add(block, "usage", "register")
    for register in REGISTERS:
        _register(_add(block, "register"), register)


def _register(element: ET.Element, register: Register) -> None:
    _add(element, "name", register.name)
    _add(element, "description", register.doc)
    _add(element, "addressOffset", f"{register.offset:#x}")
    _add(element, "size", str(REGISTER_BITS))
    _add(element, "volatile", str(register.access != "rw").lower())
    _add(element, "access", _ACCESS[register.access])
    for field in register.fields or (RegisterField("value", 0, REGISTER_BITS, register.doc),):
        part = _add(element, "field")
        _add(part, "name", field.name)
        _add(part, "description", field.doc)
        _add(part, "bitOffset", str(field.bit))
        _add(part, "bitWidth", str(field.width))
        _add(part, "access", _ACCESS[register.access])
        if register.access == "w1c":
            _add(part, "modifiedWriteValue", "oneToClear")


def _model(model: ET.Element, engine: Description) -> None:
    """Views, and the pins of the module."""
    views = _add(model, "views")
    for name, use in VIEWS.items():
        view = _add(views, "view")
        _add(view, "name", name)
        _add(view, "envIdentifier", use)
        _add(view, "language", "Verilog")
        _add(view, "modelName", wrapper.TOP)
        _add(_add(view, "fileSetRef"), "localName", f"{name}_view_fileset")
    ports = _add(model, "ports")
    single = [(wrapper.CLOCK, "input", 1), (wrapper.RESET, "input", 1)]
    for name, direction, width in [*single, *((pin.name, pin.direction, pin.width) for pin in engine.pins)]:
        port = _add(ports, "port")
        _add(port, "name", name)
        wire = _add(port, "wire")
        _add(wire, "direction", direction.removesuffix("put"))
        if width > 1:
            vector = _add(wire, "vector")
            _add(vector, "left", str(width - 1))
            _add(vector, "right", "0")
        kind = _add(_add(wire, "wireTypeDefs"), "wireTypeDef")
        _add(kind, "typeName", "wire")
        for of in VIEWS:
            _add(kind, "viewNameRef", of)


def _files(sets: ET.Element, sources: Iterable[str]) -> None:
    sources = list(sources)
    for view in VIEWS:
        held = _add(sets, "fileSet")
        _add(held, "name", f"{view}_view_fileset")
        for source in sources:
            file = _add(held, "file")
            _add(file, "name", source)
            _add(file, "fileType", "verilogSource")


def _extensions(extensions: ET.Element, engine: Description) -> None:
    """What Vivado's catalog shows and filters by."""
    core = _add(extensions, "coreExtensions", space=XILINX)
    families = _add(core, "supportedFamilies", space=XILINX)
    for name in FAMILIES:
        _add(families, "family", name, XILINX).set(_of(XILINX, "lifeCycle"), "Production")
    _add(_add(core, "taxonomies", space=XILINX), "taxonomy", "/UserIP", XILINX)
    _add(core, "displayName", f"shiftpoint engine {engine.config.name}", XILINX)
    _add(core, "coreRevision", "1", XILINX)
