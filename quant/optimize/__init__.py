"""What is done to which layer, and how far: plans, by what they save and what they harm."""

from quant.optimize.methods import METHODS
from quant.optimize.path import Step, path
from quant.optimize.plan import BYTES, PLAIN, Plan, Point, Reshape, front
from quant.optimize.search import Goal, Search, Searched, weight
from quant.optimize.survey import Option, survey
from quant.optimize.survivors import halved, survivors

__all__ = [
    "BYTES",
    "METHODS",
    "PLAIN",
    "Goal",
    "Option",
    "Plan",
    "Point",
    "Reshape",
    "Search",
    "Searched",
    "Step",
    "front",
    "halved",
    "path",
    "survey",
    "survivors",
    "weight",
]
