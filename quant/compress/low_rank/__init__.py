"""Layers as products of thinner ones (Zhang et al. 2015), all ranks together by what the network may cost."""

from quant.compress.low_rank.cut import CutLayer, LowRank, low_rank
from quant.compress.low_rank.form import Ranks
from quant.compress.low_rank.rewrite import Reconstruction

__all__ = ["CutLayer", "LowRank", "Ranks", "Reconstruction", "low_rank"]
