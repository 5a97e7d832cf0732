"""Load time and resident memory of the default model, each run in a fresh process, beside the size of its file.

    python -m benchmarks.load [--models DIR] [--runs 5]

The file is the folder of packed weights that the engine reads; its routed experts are what the mixture adds to the
dense model. Resident is what the process holds for it, less what it held before (Python and PyTorch themselves): once
loaded, and after an answer of 64 tokens. Linux only: figures from /proc. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setting import MODELS, machine
from core_model.checkpoint import TensorFiles
from core_model.embedded import prepare_default_model
from core_model.generation import SamplingParams
from core_model.loading import PACKED, load_engine, serving


def main() -> None:
    """Measure and print a table; with --child, one measurement as JSON."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: None)
    if args.child:
        print(json.dumps(_measure(folder)))
        return
    command = [sys.executable, "-m", "benchmarks.load", "--child", "--models", str(args.models)]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(args.runs)
    ]
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    precision, _ = serving(folder, "auto", device="cpu")
    tensors = TensorFiles(folder / PACKED[precision])
    file = sum(tensor.nbytes for tensor in tensors.values()) / 2**20
    experts = sum(tensor.nbytes for name, tensor in tensors.items() if ".experts." in name) / 2**20

    print(f"{machine()}; medians of {args.runs}")
    print(
        f"{'file':34}{file:8.0f} MiB, of which routed experts {experts:.0f} MiB ({experts / (file - experts):.0%} more)"
    )
    print(f"{'Python and PyTorch':34}{medians['before_mib']:8.0f} MiB")
    for key, what in (("loaded_mib", "resident for the model, loaded"), ("answered_mib", "the same after an answer")):
        print(f"{what:34}{medians[key]:8.0f} MiB, {medians[key] / file:.2f}x the file")
    print(f"{'of that not shared with the file':34}{medians['private_mib']:8.0f} MiB")
    print(f"{'load':34}{medians['load_s']:8.2f} s   (verifying sha256 included)")


def _measure(folder: Path) -> dict[str, float]:
    before, private = _resident_mib(), _resident_mib("RssAnon")
    start = time.perf_counter()
    engine, tokenizer = load_engine(folder, device="cpu")
    load_s = time.perf_counter() - start
    loaded = _resident_mib()
    with engine:
        list(engine.stream(tokenizer.encode("The sea is"), SamplingParams(max_tokens=64)))
        return {
            "before_mib": before,
            "loaded_mib": loaded - before,
            "answered_mib": _resident_mib() - before,
            "private_mib": _resident_mib("RssAnon") - private,
            "load_s": load_s,
        }


def _resident_mib(field: str = "VmRSS") -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
