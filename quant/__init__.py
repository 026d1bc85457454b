"""What numbers a network computes with."""
