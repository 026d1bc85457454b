"""Why an operator cannot run on integers that are only shifted, and the cheapest change of the network that helps."""

from __future__ import annotations

UNKNOWN = "operator not supported"
TWO_DATA = "of two data tensors"
DEFAULT = "replace it by operators of docs/operators.md, or end the network before it and do the rest on the host"
CUT = "end the network before it: let the network return what it reads, and do the rest on the host"
NORM = "retrain with BatchNormalization in its place, which is constant at inference"
STATISTICS = "its mean and variance are taken of every image, and nothing here divides by data"
LOOP = ("a loop over time", "run it on the host, or retrain with Conv in one dimension over time (a TCN)")
NO_DIVISION = "end the network before it; inside a network nothing here divides by data"
CHOICE = ("depends on data in a way that no layer does", CUT)
FLOW = ("control flow", "export with fixed shapes, for inference, so that it folds away")
UPSAMPLE = "retrain with Resize (nearest) and Conv in its place, or with ConvTranspose"
INTERLEAVE = "needs pixels put between pixels, which no layer does"

ADVICE: dict[str, tuple[str, str]] = {
    "InstanceNormalization": (STATISTICS, NORM),
    "GroupNormalization": (STATISTICS, NORM),
    "LayerNormalization": (STATISTICS, NORM),
    "RMSNormalization": (STATISTICS, NORM),
    "MeanVarianceNormalization": (STATISTICS, NORM),
    "LpNormalization": ("divides by the norm of data", CUT),
    "Div": ("divides by data", CUT),
    "MatMul": ("multiplies data by data", "attention does not run here: a network of convolutions does"),
    "Einsum": ("multiplies data by data", "write it as MatMul with a constant, or as a 1x1 Conv"),
    "LSTM": LOOP,
    "GRU": LOOP,
    "RNN": LOOP,
    "ArgMax": CHOICE,
    "ArgMin": CHOICE,
    "TopK": CHOICE,
    "NonMaxSuppression": CHOICE,
    "NonZero": CHOICE,
    "Where": CHOICE,
    "Equal": CHOICE,
    "Greater": CHOICE,
    "Less": CHOICE,
    "GatherND": CHOICE,
    "GatherElements": CHOICE,
    "ScatterND": CHOICE,
    "GridSample": CHOICE,
    "RoiAlign": CHOICE,
    "LogSoftmax": ("", NO_DIVISION),
    "Softmax": ("", NO_DIVISION),
    "If": FLOW,
    "Loop": FLOW,
    "Scan": FLOW,
    "LpPool": ("a pooling by norms", "retrain with AveragePool or MaxPool"),
    "MaxUnpool": (INTERLEAVE, UPSAMPLE),
    "RandomNormalLike": ("random numbers", "export the network for inference"),
    "RandomUniformLike": ("random numbers", "export the network for inference"),
    "Bernoulli": ("random numbers", "export the network for inference"),
    "CumSum": ("a running sum", CUT),
}


def advise(op: str, reason: str, edit: str) -> tuple[str, str]:
    """Reason and edit of a refused node: its own, and where it has none those of the operator."""
    if "." in op:
        return reason, f"export the network with ONNX's own operators instead of those of {op.rpartition('.')[0]}"
    why, change = ADVICE.get(op, ("", DEFAULT))
    general = reason in (UNKNOWN, TWO_DATA)
    if not general and why:  # what is advised against the operator as a whole says nothing of another reason
        return reason, edit or DEFAULT
    return why or reason, edit or change
