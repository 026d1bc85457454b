"""A program as C: sizes and names; what the tables mean is tried in test_c_driver.py."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.drivers.network_header import MOST_TABLES, network_files
from hw.contract.program import Program
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from tests.host.drivers.golden import batch, folded, once


@pytest.fixture
def program(rng: np.random.Generator) -> Program:
    return folded(rng)


def test_the_same_program_gives_the_same_bytes(program: Program) -> None:
    assert network_files(program) == network_files(program)


def test_sizes(program: Program) -> None:
    text = network_files(program, "net")["net.h"].decode()
    assert f"#define NET_IMAGE_BYTES {len(program.image)}u " in text
    assert f"#define NET_MEMORY_BYTES {program.memory_bytes}u " in text
    assert "#define NET_INPUT_0_ELEMENTS 300u /* x (3, 10, 10), int8_t * 2^-4 */" in text
    assert "#define NET_OUTPUTS 3u" in text and "int16_t * 2^" in text


def test_sizes_are_of_one_image(rng: np.random.Generator) -> None:
    text = network_files(batch(rng))["network.h"].decode()
    assert "#define NETWORK_BATCH 3u" in text and "#define NETWORK_INPUT_0_ELEMENTS 300u" in text
    assert "#define NETWORK_OUTPUT_0_ELEMENTS 5u" in text


def test_tables_of_pixels_are_for_few_channels(program: Program, rng: np.random.Generator) -> None:
    assert "input_0_pixels[3][256]" in network_files(program)["network.c"].decode()
    many = once(rng)
    assert many.input_shapes["x"][0] > MOST_TABLES
    assert "pixels" not in network_files(many)["network.c"].decode()


def test_names_out_of_a_file_harm_no_source(program: Program) -> None:
    named = dataclasses.replace(program, name='a */ "\\\n??/é')
    files = network_files(named)
    assert "/* a??????????? for the engine small" in files["network.h"].decode()
    assert r'.name = "a \052/ \042\134\012\077\077/\303\251",' in files["network.c"].decode()


def test_inputs_of_16_bits_are_refused(program: Program) -> None:
    inputs = tuple(dataclasses.replace(placed, fmt=QFormat(16, 4)) for placed in program.inputs)
    with pytest.raises(BadInput, match="^program of net: its input 'x' has 16 bits, and the driver in C writes 8$"):
        network_files(dataclasses.replace(program, inputs=inputs))


@pytest.mark.parametrize("name", ["", "3d", "Net", "a-b", "a" * 33, "../x", "é"])
def test_names_that_are_none_in_c(program: Program, name: str) -> None:
    with pytest.raises(BadInput, match="^name must be a small letter and up to 31 of a-z, 0-9 and _, not "):
        network_files(program, name)
