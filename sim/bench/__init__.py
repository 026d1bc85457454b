"""Benches of the Verilog: cocotb and Verilator."""
