"""Models of the engine and the benches that hold the Verilog against them."""
