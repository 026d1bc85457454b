"""What benches of this folder need."""

import pytest

from sim.bench import toolchain


@pytest.fixture(scope="module")
def verilator() -> None:
    """Skips where there is no Verilator or C++ compiler."""
    try:
        toolchain.require()
    except toolchain.ToolchainError as error:
        pytest.skip(str(error))
