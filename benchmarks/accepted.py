"""Architectures that users bring: what `inspect` says of each, and whether `run` proves every layer equal.

    python benchmarks/accepted.py [--only edsr timm:regnety_002 ...] [--json FILE] [--write docs/operators.md]
    python benchmarks/accepted.py --list              # the names
    python benchmarks/accepted.py --inspect           # only what `inspect` says: seconds a network

`run` is `shiftpoint run NET.onnx --config medium --effort fast --rtl-images 0` on four seeded random images: every
layer's digest the same in ONNX Runtime, of the integers and of the program; benchmarks/verification.py has the Verilog.
Weights are random (benchmarks/architectures.py); what is absent is left out with a line.  Exit code 1 where a network
that must be taken is not, or one that must be refused is, or a layer differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.architectures import architecture
from benchmarks.engine import images_for
from host.inspection import inspection
from quant import onnx_import
from quant.base.errors import BadInput
from quant.ir.inputs import by_input

MODE = "accepted"
ROOT = Path(__file__).resolve().parent.parent
TAKEN = (
    *("shufflenet_v2_x1", "mobilenet_v1", "unet_transpose", "unet_nearest", "unet_bilinear", "deeplab_aspp"),
    *("deeplab_nopool_lowres", "fcn8s", "dcgan_disc", "espcn_relu", "espcn_tanh", "edsr", "dncnn", "tcn_mean"),
    *("tcn_last", "m5_audio", "pointnet", "dscnn_kws", "mlperf_ad_autoencoder", "convae_t", "convae_up"),
    *("vae_encoder", "ssd_raw", "ssd_joined", "yolov3_tiny", "yolov3_tiny_silu", "yolov2_tiny", "lenet5_tanh"),
    *("siamese_absdiff", "two_parts", "alexnet_lrn", "dqn_nature"),
    *("timm:mobilenetv3_small_100", "timm:efficientnet_b0", "timm:regnety_002", "timm:legacy_seresnet18"),
    *("timm:ghostnet_100", "timm:hardcorenas_a", "timm:mixnet_s", "timm:tf_efficientnet_lite0", "timm:mnasnet_100"),
    "timm:fbnetc_100",
)
REFUSED = ("timm:convnext_atto", "timm:poolformer_s12", "timm:vit_tiny_patch16_224", "timm:mixer_s16_224")
"""By name: their normalizations, attention."""


def said(path: Path) -> tuple[str, str]:
    """What `inspect` says: whole, the host's part, or what is refused; and details."""
    found = inspection(path, None)
    nodes = found["nodes"]
    if not found["supported"]:
        refused = dict.fromkeys(node["op"] for node in nodes if node["kind"] in ("unsupported", "executor", "unknown"))
        return "refused", ", ".join(refused) or "; ".join(found["problems"])
    if found["tail"]:
        reasons = ", ".join(dict.fromkeys(entry["op"] for entry in found["tail"]["because"]))
        return "with a tail", f"{found['tail']['nodes']} nodes, {found['tail']['share']:.1%} of the MACs: {reasons}"
    applied = ", ".join(dict.fromkeys(node["op"] for node in nodes if node["kind"] == "host"))
    return ("with an operation at the output", applied) if applied else ("whole", "")


def ran(path: Path, config: str) -> str:
    """What `shiftpoint run` says of a network: how many layers are equal, on how many legs, or its last line."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npz"
        graph = onnx_import.load(path)
        given = by_input(graph.inputs, images_for(graph, None))
        np.savez(images, **(given if len(given) > 1 else {"images": next(iter(given.values()))}))  # type: ignore[arg-type]
        arguments = ["run", path, "--calibration", images, "--config", config, "--effort", "fast", "--rtl-images", 0]
        command = "import sys; from host.cli import main; sys.exit(main())"
        line = [sys.executable, "-c", command, *map(str, arguments), "--out", str(Path(folder) / "out")]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            return f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
        found = json.loads((Path(folder) / "out" / "report.json").read_text())
        digests = [{digest for digest in layer["digest"].values() if digest} for layer in found["layers"]]
        equal = sum(len(each) == 1 for each in digests)
        return f"{equal} of {len(digests)} layers equal, {len(found['proof']['legs'])} ways"


def measured(arguments: argparse.Namespace) -> Iterator[report.Row]:
    """A row for each network."""
    for name in arguments.only:
        try:
            path = architecture(name)
        except BadInput as error:
            print(f"{error}; left out", file=sys.stderr)
            continue
        verdict, details = said(path)
        run = ran(path, arguments.config) if verdict != "refused" and not arguments.inspect else ""
        row = {"network": name, "verdict": verdict, "details": details, "run": run}
        print(f"{name}: {verdict}, {details}; {run}", file=sys.stderr)
        yield row


def good(row: report.Row) -> bool:
    """Whether a network is taken, or refused, as it must be, and all its layers are equal."""
    if row["network"] in REFUSED:
        return bool(row["verdict"] == "refused")
    equal, _, whole = row["run"].partition(" of ")
    return row["verdict"] != "refused" and (not row["run"] or equal == whole.split(" ")[0])


def table(rows: Sequence[report.Row]) -> str:
    """A line for each network."""
    lines = ["| network | `inspect` | the host's part, or why not | `run` |", "|---|---|---|---|"]
    lines += [f"| {row['network']} | {row['verdict']} | {row['details']} | {row['run'] or '-'} |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Measure and print; exit code 1 where a row is not as it must be, 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--only", nargs="+", default=[*TAKEN, *REFUSED], help="networks, also others of timm's")
    parser.add_argument("--inspect", action="store_true", help="do not run them")
    parser.add_argument("--config", default="medium", help="what they run on (default medium)")
    report.add_options(parser)
    arguments = parser.parse_args()
    if arguments.list:
        print(*TAKEN, *REFUSED, sep="\n")
        return 0
    shown: list[report.Row] = []

    def tables(rows: Sequence[report.Row]) -> str:
        shown.extend(rows)
        return table(rows)

    return report.show(arguments, MODE, {MODE: tables}, measured(arguments)) or int(not all(map(good, shown)))


if __name__ == "__main__":
    sys.exit(main())
