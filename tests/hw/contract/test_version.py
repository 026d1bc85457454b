"""The version of the contract separates engines and programs of different ones."""

import dataclasses

import pytest

from hw.contract import config as configs


def test_it_is_part_of_every_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: config.hash for name, config in configs.PRESETS.items()}
    monkeypatch.setattr(configs, "CONTRACT_VERSION", configs.CONTRACT_VERSION + 1)
    for name, config in configs.PRESETS.items():
        assert dataclasses.replace(config).hash != before[name]
