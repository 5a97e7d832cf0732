"""The quality model of chest films, where an image is one. Ignores other images: fundus and CT will have their own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from verticals.medical.chest.reader import is_chest_film
from verticals.medical.defects import DefectModel
from verticals.medical.findings import Image

WEIGHTS = Path(__file__).parent / "defects.json"


def defects_of(image: Image) -> dict[str, float] | None:
    """Score by defect; None: no model for such images."""
    return _model().scores(image.grey) if is_chest_film(image.modality, image.body_part) else None


@cache
def _model() -> DefectModel:
    return DefectModel.load(WEIGHTS)
