"""Networks made into other networks."""
