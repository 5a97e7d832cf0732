"""Whether SR, FHIR and PDF state the same findings, and whether each planted difference is found: 1,000 graphs.

Run from the repository root: python -m benchmarks.export_equality
Graphs are random over the whole vocabulary, seeds 0-999, regions on a synthetic film, reports in every state. Each is
written in the three formats and read back from the files alone. Then one of the three is written from a graph that
differs in one fact (`graph_probes.changes`, one at random), and the files are compared again. Wilson intervals. About
nine minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from verticals.bootstrap import wilson_interval
from verticals.medical.export.files import FORMATS
from verticals.medical.export.readback import differences, read_findings
from verticals.medical.graph_probes import changes, random_graph
from verticals.medical.part10 import prepare_pydicom
from verticals.medical.study_probes import STATES, report_with, study

FORMS = ("sr", "fhir", "pdf")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many graphs come back equal, how many planted differences are found, and what was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=1000)
    options = parser.parse_args(arguments)
    prepare_pydicom()
    images = study("CR", 0)
    rng = np.random.default_rng(0)
    counts = {"equal to each other and to the graph": 0, "planted difference found": 0}
    missed: list[str] = []
    for seed in range(options.graphs):
        graph, state = random_graph(seed, images=images), STATES[seed % 4]
        report = report_with(graph, state, seed)
        files = {form: FORMATS[form].write(report, images)[0] for form in FORMS}
        stated = all(read_findings(content, form) == graph.without_regions() for form, content in files.items())
        equal = stated and not differences(files)
        possible = [(what, other) for what, other in changes(graph) if other.findings]
        what, other = possible[rng.integers(len(possible))]
        form = FORMS[seed % 3]
        found = bool(differences(files | {form: FORMATS[form].write(report_with(other, state, seed), images)[0]}))
        for name, hit in zip(counts, (equal, found), strict=True):
            counts[name] += hit
        missed += [f"seed {seed}: not equal"] * (not equal) + [f"seed {seed}, {form}: {what} not found"] * (not found)
    print("| of the graphs | n | share (95 %) |\n|---|---|---|")
    for name, count in counts.items():
        low, high = wilson_interval(count, options.graphs)
        print(f"| {name} | {count}/{options.graphs} | {count / options.graphs:.3f} ({low:.3f} to {high:.3f}) |")
    print(*missed, sep="\n")


if __name__ == "__main__":
    main()
