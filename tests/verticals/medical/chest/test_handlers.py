"""Chest films at the desk: what the report says follows the model that serves, and the heatmap follows the report."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from tests.verticals.medical.conftest import Desk
from verticals.contract import Artifact, InvalidInput, ModelCard
from verticals.medical.chest.model import CARD, NAME, packaged
from verticals.medical.probes import phantom, radiograph

GOOD = {"auc": [0.9, 0.85, 0.95], "coverage_present": 0.9, "coverage_absent": 0.9}
OTHER = {"StudyInstanceUID": "1.2.9", "SeriesInstanceUID": "1.2.9.1", "SOPInstanceUID": "1.2.9.1.1"}


def film(**header: Any) -> bytes:
    dataset: Dataset = radiograph(phantom(0, size=300))
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class Registry:
    """Serves the packaged weights with figures that pass validation, and a gate that lets all in: for tests alone."""

    def __init__(self, folder: Path, *, gate_limit: float = 1e9) -> None:
        card = json.loads(packaged()[CARD].read_text("utf-8"))
        card |= {"figures": dict.fromkeys(card["kinds"], GOOD), "gate_limit": gate_limit}
        self.files = packaged() | {CARD: folder / CARD}
        self.files[CARD].write_text(json.dumps(card), "utf-8")

    def load(self, name: str, version: str | None = None) -> tuple[ModelCard, dict[str, Path]] | None:
        return (ModelCard(NAME, "7-abc", "", "", "", "", {}, ""), self.files) if name == NAME else None


def serving(desk: Desk, registry: Registry) -> Desk:
    desk.resources.registry = registry
    return desk.rebuilt()


def test_findings_of_a_registered_model_are_in_the_report_with_its_version(desk: Desk, tmp_path: Path) -> None:
    study = serving(desk, Registry(tmp_path)).ingest(film())

    assert study.findings_status.model == f"{NAME} 7-abc"
    assert {f.kind for f in study.report.evidence.findings} == {"opacity", "effusion", "cardiomegaly", "abnormality"}
    assert all(f.model == f"{NAME} 7-abc" and f.prob is not None for f in study.report.evidence.findings)
    assert {kind for s in study.report.sentences for kind in s.finding_ids} == {
        f.finding_id for f in study.report.evidence.findings
    }


def test_a_stranger_is_not_read_and_the_report_says_why(desk: Desk, tmp_path: Path) -> None:
    study = serving(desk, Registry(tmp_path, gate_limit=1e-6)).ingest(film())

    assert study.findings_status.status == "no model available"
    assert "out of distribution" in study.report.sections.technique
    assert study.report.evidence.findings == ()


def test_a_lateral_film_is_not_read(desk: Desk, tmp_path: Path) -> None:
    study = serving(desk, Registry(tmp_path)).ingest(film(ViewPosition="LL"))

    assert "View Position (0018,5101) is LL" in study.findings_status.reason


def test_the_heatmap_lies_over_the_film(desk: Desk, tmp_path: Path) -> None:
    ward = serving(desk, Registry(tmp_path))
    study = ward.ingest(film())

    made = ward.call("attention", study_id=study.study_id)

    assert isinstance(made, Artifact)
    shown = np.asarray(Image.open(io.BytesIO(made.content))).astype(int)
    assert shown.shape == (300, 300, 3)
    assert (shown[:, :, 0] - shown[:, :, 2]).max() > 50


def test_a_heatmap_is_of_a_chest_film(desk: Desk) -> None:
    study = desk.ingest(film(BodyPartExamined="HAND"))

    with pytest.raises(InvalidInput, match="must be of a chest film"):
        desk.call("attention", study_id=study.study_id)


def test_learned_defects_join_the_quality_of_a_chest_film_alone(desk: Desk) -> None:
    chest, hand = desk.ingest(film()), desk.ingest(film(BodyPartExamined="HAND", **OTHER))

    assert {"blur (learned)", "rotation (learned)"} <= {check.name for check in chest.quality.checks}
    assert not any("learned" in check.name for check in hand.quality.checks)
