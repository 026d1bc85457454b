"""Where a network is cut whose end no layer computes: everything about that is decided here, once.

The tail has the nodes that are refused, and all behind them.  What only these read goes with them where it costs the
engine nothing or is none of its work: data that are moved or joined, and functions of single elements.  A network is
cut only where the engine loses little: a node in the middle is refused as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.tail import Tail
from quant.onnx_file.cut import crossing, head_of, multiplications, reads, tail_of
from quant.onnx_file.nodes import NotSupportedError, kind_of
from quant.onnx_import import curves, tails
from quant.onnx_import.lower import RANDOM, live_nodes, lower, output_values, refuse_quantized
from quant.onnx_import.lowering import Lowering, Record
from quant.onnx_import.operators import HANDLERS
from quant.run.tail import check_tail

MOST = 0.05
"""The largest share of a network's multiplications that a tail may have of those that the engine could do."""
MOST_OF_ALL = 0.5
"""And of any: a network of which the host would do more is none for the engine, as a transformer behind one
convolution."""

BY_ELEMENT = (curves.curve, curves.composed, curves.power, tails.sigmoid)
"""What lowers functions of single elements; the host has them without rounding their argument."""


def cut(model: onnx.ModelProto, label: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[onnx.ModelProto, Tail]:
    """The head of a model that cannot be lowered whole, which can be, and its tail.

    shapes: of the inputs, as `quant.onnx_file.read.fix_shapes` gives it with the model.
    Raises NotSupportedError where there is no such cut, empty where nothing is to be said of it; UnsupportedNetwork
    where the network is refused whatever its end.
    """
    cutter = _Cutter(model, label, shapes)
    cutter.find()
    return cutter.parts()


class _Cutter:
    """One model being cut.

    nodes: those that its outputs depend on, in order; all sets of nodes are of their places.  tail: those that the
    head has no more.  refused: of these, those that no layer computes by themselves.  first: the model lowered as it
    is, for its constants.  lowering: the head, lowered.
    """

    def __init__(self, model: onnx.ModelProto, label: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.model, self.label, self.shapes = model, label, shapes
        self.nodes = live_nodes(model.graph)
        self.reads = [reads(node) for node in self.nodes]
        self.outputs = [value.name for value in model.graph.output]
        self.sources = frozenset(shapes)
        self.place = {name: place for place, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, set[int]] = {}
        for place, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, set()).add(place)
        self.tail: set[int] = set()
        self.refused: set[int] = set()
        self.first = self.lowering = self.lowered(model)

    def lowered(self, head: onnx.ModelProto) -> Lowering:
        """A model, lowered as far as that goes, its outputs too."""
        lowering = Lowering(head, self.shapes)
        lower(lowering, HANDLERS)
        refuse_quantized(lowering, self.label)
        output_values(lowering, self.label)
        return lowering

    def find(self) -> None:
        """Put nodes into the tail until the head can be lowered."""
        while bad := self.bad():
            self.tail |= bad
            self.close()
            head = head_of(self.model, self.part(set(range(len(self.nodes))) - self.tail), self.crossing())
            try:
                self.lowering = self.lowered(head)
            except UnsupportedNetwork as error:  # it would return its input, or the same twice
                raise NotSupportedError("") from error

    def bad(self) -> set[int]:
        """The nodes of the head that are none of it."""
        found = set()
        for record in self.lowering.records:
            if record.fate in ("refused", "unreached", "host"):
                found.add(self.place_of(record))
                if record.fate == "refused":
                    self.refused.add(self.place_of(record))
        return found

    def place_of(self, record: Record) -> int:
        return self.place[next(filter(None, record.outputs))]

    def close(self) -> None:
        """Take what stands behind the tail into it, and before it what belongs to it."""
        for place, names in enumerate(self.reads):
            if any(self.place.get(name) in self.tail for name in names):
                self.tail.add(place)
        records = {self.place_of(record): record for record in self.lowering.records}
        for place in sorted(records.keys() - self.tail, reverse=True):
            users = set().union(*(self.readers.get(name, set()) for name in self.nodes[place].output))
            if users <= self.tail and self.goes(place, records[place]):
                self.tail.add(place)

    def goes(self, place: int, record: Record) -> bool:
        """Whether a node that only the tail reads is better there."""
        node = self.nodes[place]
        if self.sources.intersection(self.reads[place]):
            return False
        data = [name for name in node.input if name and not self.first.is_constant(name)]
        free = kind_of(node) == "Concat" or HANDLERS.get(kind_of(node)) in BY_ELEMENT
        product = kind_of(node) == "Mul" and len(data) == 2
        return record.fate == "moved" or (record.fate == "lowered" and (free or product))

    def crossing(self) -> list[str]:
        """The tensors that the head hands over."""
        return crossing(self.part(self.tail), self.data(), self.outputs)

    def data(self) -> set[str]:
        """The tensors of the model that are no constants."""
        fates = {self.place_of(record): record.fate for record in self.first.records}
        made = {name for name, place in self.place.items() if place in self.tail or fates.get(place) != "constant"}
        return {*self.sources, *made}

    def part(self, places: Iterable[int]) -> list[onnx.NodeProto]:
        return [self.nodes[place] for place in sorted(places)]

    def parts(self) -> tuple[onnx.ModelProto, Tail]:
        """Head and tail.  Raises NotSupportedError where that is no cut to be made."""
        if not self.tail:
            raise NotSupportedError("")
        if max(shape[0] for shape in self.shapes.values()) > 1:
            raise NotSupportedError("the host does its end for one image at a time: export it with a batch of 1")
        kept = self.with_views()
        nodes = self.part(kept)
        names = crossing(nodes, self.data(), self.outputs)
        if self.sources.intersection(names):
            raise NotSupportedError("")
        self.check_nodes(nodes)
        head = head_of(self.model, self.part(set(range(len(self.nodes))) - self.tail), names)
        shapes = {}
        for name in names:
            value = self.first.values[name]
            assert value is not None
            shapes[name] = value.own
        made = {name for node in nodes for name in node.output}
        wanted = dict.fromkeys(name for place in sorted(kept) for name in self.reads[place])
        held = [name for name in wanted if name not in made and name not in shapes and self.first.is_constant(name)]
        try:
            tail = tail_of(self.model, nodes, {name: self.first.constant(name) for name in held}, shapes)
            check_tail(tail, self.label)
        except BadInput as error:
            raise NotSupportedError(str(error).removeprefix(f"{self.label}: ")) from error
        return head, tail

    def with_views(self) -> set[int]:
        """The tail with the nodes that only move what it reads of the head, where the head has them for itself, too."""
        fates = {self.place_of(record): record.fate for record in self.lowering.records}
        found = set(self.tail)
        while True:
            names = crossing(self.part(found), self.data(), self.outputs)
            views = {self.place[name] for name in names if fates.get(self.place.get(name, -1)) == "moved"}
            views = {place for place in views - found if not self.sources.intersection(self.reads[place])}
            if not views:
                return found
            found |= views

    def check_nodes(self, nodes: Collection[onnx.NodeProto]) -> None:
        """Raise NotSupportedError for nodes that are not for the host, or too many."""
        for node in nodes:
            if kind_of(node) != node.op_type or node.op_type in RANDOM:
                raise NotSupportedError("")
        counts = zip(self.model.graph.node, multiplications(self.model), strict=True)
        by_output = {tuple(node.output): count for node, count in counts}
        by_place = [by_output[tuple(node.output)] for node in self.nodes]
        lost = sum(by_place[place] for place in self.tail - self.refused if self.weighs(self.nodes[place]))
        if lost > MOST * sum(by_place):
            share = lost / sum(by_place)
            raise NotSupportedError(
                f"layers behind it have {share:.0%} of the multiplications; the host does at most {MOST:.0%}"
            )
        of_tail, of_all = sum(by_place[place] for place in self.tail), sum(by_place)
        if of_tail == of_all:
            raise NotSupportedError("")
        if of_tail > MOST_OF_ALL * of_all:
            work = f"{of_tail / of_all:.0%} of the multiplications"
            raise NotSupportedError(f"its end has {work}; the host does at most {MOST_OF_ALL:.0%}")

    def weighs(self, node: onnx.NodeProto) -> bool:
        """Whether a node is one of weights that the engine could run."""
        return kind_of(node) in ("Conv", "Gemm", "MatMul") and self.first.is_constant(node.input[1])
