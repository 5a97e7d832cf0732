"""The drift test beside PSI's .25 rule: false alarms without a shift, power with one. Simulated scores; keeps nothing.

    python -m benchmarks.drift        # under a minute of processor time

Scores are normal; bins are the reference's deciles, so any other continuous shape that a rank-preserving map makes of
it gives the same figures. The reference is as large as German credit (1,000) or ten times that. An alarm is a grade
that is not green.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from verticals.bootstrap import wilson_interval
from verticals.finance.validation.drift import LIGHT, PSI_SHIFT, Drift, of_scores
from verticals.finance.validation.rules import light

SEED = 20261130
CASES = (
    ("no shift", 200, 0.0),
    ("no shift", 1_000, 0.0),
    ("no shift", 50, 0.0),
    (".25 sd", 200, 0.25),
    (".25 sd", 1_000, 0.25),
    (".25 sd", 10_000, 0.25),
    (".10 sd", 10_000, 0.10),
)
RULES: dict[str, Callable[[Drift], bool]] = {
    "test": lambda d: light(d.confidence, **LIGHT) != "green",
    "PSI > .25": lambda d: d.psi > PSI_SHIFT,
    "PSI > .10": lambda d: d.psi > 0.10,
}


def main(argv: list[str] | None = None) -> None:
    """Print one Markdown table: share of alarms with a 95 % Wilson interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000)
    draws = parser.parse_args(argv).draws
    print(f"Share of {draws:,} simulated pairs of samples with an alarm [95 %]\n")
    print("| change | n now | reference | " + " | ".join(RULES) + " |")
    print("|---|---|---|" + "---|" * len(RULES))
    for reference in (1_000, 10_000):
        for name, n, shift in CASES:
            rng = np.random.default_rng(SEED)
            found = [of_scores(rng.normal(size=reference), rng.normal(shift, size=n)) for _ in range(draws)]
            cells = []
            for alarms in RULES.values():
                count = sum(map(alarms, found))
                low, high = wilson_interval(count, draws)
                cells.append(f"{count / draws:.3f} [{low:.3f}, {high:.3f}]")
            print(f"| {name} | {n:,} | {reference:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
