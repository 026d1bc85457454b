"""What hardware and software agree on, in pure Python."""
