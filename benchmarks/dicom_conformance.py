"""What dciodvfy finds in the SR, SEG, PR, KO and SC of 50 studies: CT, MR, CR, DX and OP, one frame or several.

Run from the repository root: python -m benchmarks.dicom_conformance
Studies and findings are synthetic, seeds 0-49: eight kinds of study and the four states of a report, each beside each;
and of each study the SR of a report without findings. dciodvfy is Debian's (package dicom3tools). The interval is
Wilson's on the share of objects with an error. About two minutes of one core.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from verticals.bootstrap import wilson_interval
from verticals.medical.evidence import NO_EVIDENCE
from verticals.medical.export.files import FORMATS
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.study_probes import KINDS_OF_STUDY, STATES, report_on, report_with, study

OBJECTS = {
    "sr": "SR, TID 1500",
    "seg": "SEG",
    "gsps": "PR",
    "ko": "KO",
    "sc": "SC",
}
EMPTY = "SR, TID 2000"


def objects(seed: int) -> Iterator[tuple[str, bytes]]:
    """(name, Part 10 file) of everything that one study and its report give."""
    kind = list(KINDS_OF_STUDY)[seed % len(KINDS_OF_STUDY)]
    state = STATES[seed // len(KINDS_OF_STUDY) % len(STATES)]
    images = study(kind, seed)
    report = report_on(images, state, seed)
    for form, name in OBJECTS.items():
        for content in FORMATS[form].write(report, images):
            yield name, content
    for content in FORMATS["sr"].write(report_with(NO_EVIDENCE, state, seed), images):
        yield EMPTY, content


def errors(content: bytes, folder: Path) -> list[str]:
    """The lines in which dciodvfy reports an error."""
    path = folder / "object.dcm"
    path.write_bytes(content)
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False).stderr
    if not any(line.startswith("Warning") or line.isidentifier() for line in told.splitlines()):
        raise RuntimeError(f"dciodvfy said nothing of the object's class: {told[:200]}")
    return [line for line in told.splitlines() if line.startswith("Error")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each kind of object, and every error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=50)
    options = parser.parse_args(arguments)
    if shutil.which("dciodvfy") is None:
        raise SystemExit("dciodvfy is not installed (Debian: apt-get install dicom3tools)")
    prepare_pydicom()
    written, wrong, told = Counter[str](), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.studies):
            for name, content in objects(seed):
                found = errors(content, Path(folder))
                written[name] += 1
                wrong[name] += bool(found)
                told += [f"{name} of study {seed}: {line}" for line in found]
    print("| object | objects | with an error | share (95 %) |\n|---|---|---|---|")
    for name in (*OBJECTS.values(), EMPTY):
        low, high = wilson_interval(wrong[name], written[name])
        share = wrong[name] / written[name]
        print(f"| {name} | {written[name]} | {wrong[name]} | {share:.3f} ({low:.3f} to {high:.3f}) |")
    print(f"\n{options.studies} studies, {written.total()} objects, {len(told)} errors", *told, sep="\n")


if __name__ == "__main__":
    main()
