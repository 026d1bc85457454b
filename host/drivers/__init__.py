"""Drivers for what stands on a board: in C (`c/`), and in Python with NumPy alone; and what both are held to."""
