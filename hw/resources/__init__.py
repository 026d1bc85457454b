"""What an engine takes of an FPGA, by its configuration alone: in microseconds instead of a synthesis of minutes.

Multipliers and block RAMs are counted by formula, tables and flip-flops by a linear model of measured engines.
"""
