"""The version of the contract between hardware and software; part of every configuration's hash."""

CONTRACT_VERSION = 6
