"""Coded networks: ONNX files whose weights are Huffman codes and relative indices (Deep Compression, ICLR 2016)."""

from quant.coded.file import MAGIC, decode, encode, is_coded, layers

__all__ = ["MAGIC", "decode", "encode", "is_coded", "layers"]
