"""Boards: what is on them, and the LiteX system around the engine for each, to synthesize or to simulate."""
