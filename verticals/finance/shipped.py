"""Models that come with the product: trained on our own simulator, so they are ours to give. Ignores how.

`python -m benchmarks.sources train` makes them again; each card names that command, the seed and the SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verticals.contract import ModelRegistry
from verticals.finance.histories.model import CONFIG, ENCODER, HEAD, SEQUENCE
from verticals.finance.sources.model import ABOUT, NAME, WEIGHTS

FOLDER = Path(__file__).parent / "weights"
CARD = "card.json"
SHIPPED: Mapping[str, tuple[str, ...]] = {SEQUENCE: (ENCODER, CONFIG, HEAD), NAME: (WEIGHTS, ABOUT)}
"""Name in the registry -> its files; those of `finance.sources` read vectors of this very `finance.sequence`."""
REGISTERED = ("trained_on", "licence", "recipe", "metrics", "limits", "data", "command")  # of a card


def folder_of(name: str) -> Path:
    """Where a model lies; a dot in a folder's name would keep it out of the package."""
    return FOLDER / name.rpartition(".")[2]


def shipped_files(name: str) -> dict[str, bytes]:
    """The files of a model."""
    return {file: (folder_of(name) / file).read_bytes() for file in SHIPPED[name]}


def shipped_card(name: str) -> dict[str, Any]:
    """Its card."""
    card: dict[str, Any] = json.loads((folder_of(name) / CARD).read_bytes())
    return card


def register_shipped(registry: ModelRegistry) -> None:
    """Register what is not there yet; a bank's own models stay."""
    for name in SHIPPED:
        if registry.load(name) is None:
            card = shipped_card(name)
            registry.save(name, shipped_files(name), {key: card[key] for key in REGISTERED})
