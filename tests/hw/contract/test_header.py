"""The C header of the registers, by what a C compiler makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hw.contract.header import NAME, registers_header
from hw.contract.registers import BY_NAME, CAUSES, COUNTERS, REGISTERS
from sim.bench.toolchain import compiler

PRINT = """
#include <stdio.h>
#include "shiftpoint_registers.h"
#define CAUSE(name, number, meaning) \\
    printf("%s|%d|%s|%d\\n", #name, number, meaning, SHIFTPOINT_CAUSE_##name == number);
#define COUNTER(name, offset) printf("%s|%u|%d\\n", #name, offset, SHIFTPOINT_##name == offset);
int main(void) { SHIFTPOINT_CAUSES(CAUSE) SHIFTPOINT_COUNTERS(COUNTER) return 0; }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_text(registers_header())
    return tmp_path


def test_every_register_and_field_is_there(folder: Path) -> None:
    checks = [f'_Static_assert(SHIFTPOINT_{r.name} == {r.offset}, "");' for r in REGISTERS]
    checks += [
        f'_Static_assert(SHIFTPOINT_{r.name}_{f.name.upper()} == {f.mask}u, "");' for r in REGISTERS for f in r.fields
    ]
    source = folder / "probe.c"
    source.write_text("\n".join([f'#include "{NAME}"'] * 2 + [*checks, ""]))
    command = [compiler(), "-x", "c", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", str(source)]
    subprocess.run(command, check=True)


def test_causes_and_counters_are_listed(folder: Path) -> None:
    (folder / "print.c").write_text(PRINT)
    command = [compiler(), "-x", "c", "-std=c99", "-Wall", "-Werror", "-pedantic", "print.c", "-o", "print"]
    subprocess.run(command, cwd=folder, check=True)
    printed = subprocess.run([folder / "print"], capture_output=True, text=True, check=True).stdout.splitlines()
    causes = [f"{cause.name}|{int(cause)}|{about.meaning}|1" for cause, about in CAUSES.items()]
    assert printed == causes + [f"{name}|{BY_NAME[name].offset}|1" for name in COUNTERS]
