"""What each shipped model was made of, and by which command, on its card. Ignores how it is made.

    TRIVIUM_DATA=... python -m benchmarks.lineage

Commands that train a shipped model end with `record`. Data that we make ourselves is named by what makes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.setting import data_folder
from core_model import checkpoint

ROOT = Path(__file__).parents[1]


class Origin(NamedTuple):
    """`data`: files and folders under TRIVIUM_DATA; `ours`: the same under the repository."""

    command: str
    data: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()


_SIMULATED = Origin("python -m benchmarks.sources train", ours=("verticals/finance/simulator",))
ORIGINS: Mapping[str, Origin] = {
    "retrieval/ranker.json": Origin("python -m benchmarks.medquad_ranker DATA", ("medical/medquad.tar.xz",)),
    "verticals/finance/weights/sequence/card.json": _SIMULATED,
    "verticals/finance/weights/sources/card.json": _SIMULATED,
    "verticals/medical/chest/card.json": Origin(
        "python -m benchmarks.films ship",
        ("medical/nih-cxr", "medical/nih1000-64px", "medical/pneumoniamnist/pneumoniamnist_trainval.npz"),
    ),
    "verticals/medical/chest/defects.json": Origin("python -m benchmarks.films quality", ("medical/nih-cxr",)),
    "verticals/medical/ct/card.json": Origin("python -m benchmarks.ct ship", ours=("verticals/medical/ct/phantom.py",)),
    "verticals/medical/text/entities/card.json": Origin(
        "python -m benchmarks.entities --train verticals/medical/text/entities", ("medical/bc5cdr_ner/train.tsv",)
    ),
    "verticals/medical/text/entities_mpnet/card.json": Origin(
        "python -m benchmarks.entities --encoder all-mpnet-base-v2 --train verticals/medical/text/entities_mpnet",
        ("medical/bc5cdr_ner/train.tsv",),
    ),
    "verticals/support/safety/weights/harm.card.json": Origin(
        "python -m benchmarks.harmful --train",
        (
            *("safety/advbench/adv_bench.prompt", "safety/harmbench/harmbench_prompts.txt"),
            *("support/banking77/train.csv", "support/goemotions/train.tsv", "support/nlupp"),
        ),
        ours=("verticals/support/safety/ordinary.jsonl",),
    ),
    "verticals/support/safety/weights/injection.card.json": Origin(
        "python -m benchmarks.injection_head --train",
        (
            *("medical/medquad.tar.xz", "support/banking77/train.csv"),
            *("support/tau2/domains/telecom/tech_support_manual.md", "text/wiki_sentences/all_wiki_sents.txt"),
        ),
        ours=("verticals/support/safety/injections.json", "verticals/support/knowledge"),
    ),
    "verticals/support/understanding/emotion/card.json": Origin(
        "python -m benchmarks.understanding train", ("support/goemotions/train.tsv",)
    ),
}
"""Card in the repository -> where its model comes from."""


def record(card: str, *, file: Path | None = None) -> None:
    """Write data, each with its SHA-256, and command onto a card of `ORIGINS`, or onto the file that will be it."""
    origin, path = ORIGINS[card], file or ROOT / card
    text = path.read_text("utf-8")
    found = {name: sha256_of(data_folder(name) / name) for name in origin.data}
    found |= {name: sha256_of(ROOT / name) for name in origin.ours}
    told = json.loads(text) | {"data": found, "command": origin.command}
    second = text.split("\n", 2)[1] if "\n" in text.strip() else ""
    indent = len(second) - len(second.lstrip()) or None
    path.write_text(json.dumps(told, indent=indent, ensure_ascii=False) + "\n", "utf-8")


def sha256_of(path: Path) -> str:
    """Of a file; of a folder: over its files' names and sums, in order of names."""
    if path.is_file():
        return checkpoint.sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    if not files:
        raise SystemExit(f"{path.name}: there is no such data.")
    lines = [f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    for card in ORIGINS:
        record(card)
        print(card)
