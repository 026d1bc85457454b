"""The form of networks: formats, layers, graphs, bounds, scales, digests."""
