"""The engine's blocks in Amaranth, one a file."""
