"""Turns an integer network into a program: tile, allocate, emit."""
