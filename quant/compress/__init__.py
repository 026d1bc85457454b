"""Which weights a network can do without, and what is asked of the others: a criterion a file."""

from quant.compress.asked import Asked, structures, untouched
from quant.compress.blocks import SINGLE, Block
from quant.compress.candidate import Candidate
from quant.compress.channels import CRITERIA, Criterion, without_channels
from quant.compress.price import MACS, Price
from quant.compress.prune import METHODS, Method, pruned
from quant.compress.scan import RATES, Sensitivity, scan

__all__ = [
    "CRITERIA",
    "MACS",
    "METHODS",
    "RATES",
    "SINGLE",
    "Asked",
    "Block",
    "Candidate",
    "Criterion",
    "Method",
    "Price",
    "Sensitivity",
    "pruned",
    "scan",
    "structures",
    "untouched",
    "without_channels",
]
