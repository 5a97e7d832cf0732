"""What the safety benchmarks share: a rate with its Wilson interval, and writing a head with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from benchmarks.lineage import record
from verticals.bootstrap import wilson_interval
from verticals.support.safety.head import WEIGHTS_DIR, Head


def rate(outcomes: Sequence[bool]) -> str:
    """ "0.976 [0.932, 0.992]"."""
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    return f"{sum(outcomes) / len(outcomes):.4f} [{low:.4f}, {high:.4f}]"


def write_head(name: str, head: Head, **card: str | Mapping[str, int] | Mapping[str, str]) -> None:
    """Write `weights/<name>.json` and its model card; figures follow by `add_figures`."""
    (WEIGHTS_DIR / f"{name}.json").write_text(head.to_json() + "\n", "utf-8")
    text = json.dumps({"name": f"support.safety.{name}", **card}, indent=2, ensure_ascii=False)
    (WEIGHTS_DIR / f"{name}.card.json").write_text(text + "\n", "utf-8")
    record(f"verticals/support/safety/weights/{name}.card.json")


def add_figures(name: str, figures: Mapping[str, str]) -> None:
    """Put measured figures into the card of `weights/<name>.json`."""
    path = WEIGHTS_DIR / f"{name}.card.json"
    card = json.loads(path.read_text("utf-8")) | {"figures": dict(figures)}
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
