"""The image models are read from the registry as they are registered, each is tried, and a broken one is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.registry import FileRegistry
from verticals.medical.chest import model as chest
from verticals.medical.ct import model as ct
from verticals.medical.fundus import grading, vessels
from verticals.medical.live import LIVE_MODELS

CARD = {"trained_on": "", "licence": "", "recipe": "", "metrics": {}, "limits": ""}
OPEN = {model.name: model.open for model in LIVE_MODELS}


@pytest.mark.parametrize("shipped", [chest, ct])
def test_a_registered_model_is_read_and_answers(shipped: object, tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    files = {name: path.read_bytes() for name, path in shipped.packaged().items()}  # type: ignore[attr-defined]
    registry.save(shipped.NAME, files, CARD)  # type: ignore[attr-defined]

    OPEN[shipped.NAME](registry)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [chest.NAME, ct.NAME, vessels.NAME, grading.NAME])
def test_a_model_of_another_shape_is_found_out(name: str, tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    registry.save(name, {"other.bin": b"0"}, CARD)

    with pytest.raises((ValueError, KeyError)):
        OPEN[name](registry)
