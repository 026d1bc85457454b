"""What every room shares: errors, files whole or not at all."""
