"""A photograph's reading step by step over the desk: what passed, what refused, and where disc and vessels lie."""

from __future__ import annotations

import base64
import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from benchmarks.retinas import phantom
from tests.verticals.medical.conftest import Desk
from verticals.contract import InvalidInput


@cache
def _photograph(*, darker: int = 1) -> bytes:
    buffer = io.BytesIO()
    shades = phantom(np.random.default_rng(3), eye="right") // darker
    Image.fromarray(shades.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_step_is_told_with_disc_fovea_and_vessels(desk: Desk) -> None:
    study = desk.ingest(_photograph(), laterality="R", origin="synthetic")

    seen = desk.call("fundus_steps", study_id=study.study_id)

    states = [(step.name, step.state) for step in seen.steps]
    assert states[:5] == [(name, "passed") for name in ("field", "quality", "side", "vessels", "candidates")]
    assert states[5] == ("grade", "no validated model")
    assert seen.steps[2].reason == "The optic disc lies where a right eye has it."
    assert (seen.eye, seen.disc.sop_instance_uid) == ("right", seen.sop_instance_uid)
    assert seen.disc.box[0] > study.image.columns / 2 > seen.fovea.points[0][0]  # nasally, and temporally of it
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen.vessels.png))))[..., 3]
    assert 0.02 < (mask > 0).mean() < 0.3
    assert seen.vessels.left < study.image.columns / 2 < seen.vessels.right


@pytest.mark.parametrize(
    ("darker", "laterality", "refused"), [(1, "L", "side"), (9, "R", "quality"), (250, "R", "field")]
)
def test_behind_the_step_that_refuses_none_is_reached(desk: Desk, darker: int, laterality: str, refused: str) -> None:
    study = desk.ingest(_photograph(darker=darker), laterality=laterality, origin="synthetic")

    seen = desk.call("fundus_steps", study_id=study.study_id)

    states = [step.state for step in seen.steps]
    at = [step.name for step in seen.steps].index(refused)
    assert states == ["passed"] * at + ["refused"] + ["not reached"] * (5 - at)
    assert seen.vessels is None


def test_only_a_photograph_in_colour_is_read_so(desk: Desk, ct: bytes) -> None:
    study = desk.ingest(ct)

    with pytest.raises(InvalidInput, match="instance_id: must be a photograph in colour"):
        desk.call("fundus_steps", study_id=study.study_id)
