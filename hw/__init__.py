"""The accelerator: its contract with software, its gateware and its Verilog."""
