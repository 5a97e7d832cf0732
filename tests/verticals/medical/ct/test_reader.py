"""Candidates as evidence: never said by a model that is not validated, uncertain where shown, refused where unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.verticals.medical.conftest import Desk, EmptyRegistry
from tests.verticals.medical.ct.small_chest import small_chest, to_slices
from verticals.contract import InvalidInput, NotFound
from verticals.medical.ct.features import NAMES
from verticals.medical.ct.model import NAME, NoduleModel, packaged
from verticals.medical.ct.reader import STATUS, NoduleReader, evidence, regions
from verticals.medical.ct.registered import nodule_reader
from verticals.medical.export.segmentation import masks
from verticals.medical.probes import to_bytes
from verticals.medical.series import Volume, assemble


class RoundIsNodule:
    """Takes the round and bright for nodules."""

    threshold = 0.5

    def scores(self, features_CF: NDArray[np.float64]) -> NDArray[np.float64]:
        round_C, contrast_C = (features_CF[:, NAMES.index(name)] for name in ("roundness", "contrast"))
        return np.asarray(round_C * (contrast_C > 300))


READER = NoduleReader(RoundIsNodule(), "fake@1", {})
VOLUME, NODULES = small_chest(3)


def test_an_unvalidated_model_says_nothing_unless_it_is_asked() -> None:
    status, found = READER.read(VOLUME)

    assert (status.status, status.model, found) == ("no model available", None, [])
    assert "synthetic phantoms only; not validated on patients" in status.reason


def test_asked_for_it_shows_uncertain_candidates_without_probability() -> None:
    status, found = READER.read(VOLUME, unvalidated=True)

    assert status.reason.startswith(STATUS)
    assert status.model == "fake@1"
    near = [min(np.linalg.norm(nodule[:3] - one.nodule.center_mm) for one in found) for nodule in NODULES]
    assert max(near) < 2
    for one in evidence(found).findings:
        assert (one.kind, one.presence, one.prob, one.confidence_set) == ("nodule", "uncertain", None, ())
        assert [m.name for m in one.measurements] == ["diameter", "volume"]


def test_sizes_sides_and_outlines_are_those_of_the_nodule() -> None:
    _, found = READER.read(VOLUME, unvalidated=True)

    for x, y, z, diameter in NODULES:
        one = min(found, key=lambda each: float(np.linalg.norm(np.subtract(each.nodule.center_mm, (x, y, z)))))
        assert one.nodule.axes.mean_mm == pytest.approx(diameter, abs=1.2)
        if abs(x) > 2:
            assert one.finding.side == ("left" if x > 0 else "right")
        columns = [(left + right) / 2 for left, _, right, _ in (region.box for region in one.finding.regions)]
        column = (x - VOLUME.affine[0, 3]) / VOLUME.spacing_mm[2] + 0.5  # of the pixel's middle
        assert np.mean(columns) == pytest.approx(column, abs=1)
        uids = {region.sop_instance_uid for region in one.finding.regions}
        assert uids == {VOLUME.slices[i + one.nodule.corner[0]][0] for i in np.flatnonzero(one.nodule.mask.any((1, 2)))}
        assert one.finding.regions == regions(VOLUME, one.nodule)


def test_the_seg_export_fills_the_outlines_to_the_very_mask() -> None:
    _, found = READER.read(VOLUME, unvalidated=True)
    images = to_slices(VOLUME)
    for image, (uid, _) in zip(images, VOLUME.slices, strict=True):
        image.SOPInstanceUID = uid

    filled = masks(evidence(found).findings, images)

    for i, one in enumerate(found):
        whole = np.zeros(VOLUME.values.shape, bool)
        corner, mask = one.nodule.corner, one.nodule.mask
        whole[tuple(slice(c, c + n) for c, n in zip(corner, mask.shape, strict=True))] = mask
        assert np.array_equal(filled[..., i].astype(bool), whole)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"units": "unspecified"}, "not Hounsfield units"),
        ({"spacing_mm": (5.0, 1.2, 1.2)}, "5 mm apart"),
        ({"spacing_mm": (1.5, 2.0, 1.2)}, "2 mm wide"),
        ({"affine": VOLUME.affine[[2, 1, 0, 3]]}, "not axial"),
        ({"values": np.full(VOLUME.values.shape, 40, np.float32)}, "no lungs were found"),
    ],
)
def test_a_series_that_the_model_does_not_know_is_refused(changes: dict[str, object], why: str) -> None:
    status, found = READER.read(replace(VOLUME, **changes), unvalidated=True)  # type: ignore[arg-type]

    assert (status.status, found) == ("no model available", [])
    assert why in status.reason


def test_the_packaged_model_is_small_not_validated_and_says_so() -> None:
    reader = nodule_reader(EmptyRegistry())  # type: ignore[arg-type]

    assert sum(path.stat().st_size for path in packaged().values()) < 1_000_000
    assert isinstance(reader.model, NoduleModel)
    assert not reader.is_validated
    assert reader.name_and_version.startswith(f"{NAME}@packaged-")
    assert STATUS.lower() in reader.card["limits"].lower()
    assert str(reader.card["trained_on"]).startswith("SYNTHETIC")


def stored(desk: Desk, volume: Volume, **changes: str) -> str:
    study_id = ""
    for image in to_slices(volume):
        for keyword, value in changes.items():
            setattr(image, keyword, value)
        study_id = desk.ingest(to_bytes(image), origin="synthetic").study_id
    return study_id


def test_a_stored_series_shows_candidates_to_who_asks_and_its_report_stays_without(desk: Desk) -> None:
    study_id = stored(desk, VOLUME)

    silent = desk.call("ct_nodules", study_id=study_id)
    asked = desk.call("ct_nodules", study_id=study_id, unvalidated=True)

    assert (silent.status.status, silent.sizes, silent.validated) == ("no model available", [], False)
    assert asked.status.status == "applied"
    assert asked.status.reason.startswith(STATUS)
    assert [size.finding_id for size in asked.sizes] == [one.finding_id for one in asked.evidence.findings]
    study = desk.call("get_study", study_id=study_id)
    assert study.report.evidence.findings == ()
    last = desk.recorder.decisions[-1]
    assert (last.kind, last.subject, last.outcome["unvalidated"]) == ("medical.ct_nodules", study_id, True)


def test_a_series_with_a_missing_slice_is_refused_and_so_are_strangers(desk: Desk) -> None:
    first = None
    for i, image in enumerate(to_slices(VOLUME)[:6]):
        if i != 3:
            first = desk.ingest(to_bytes(image)).study_id

    with pytest.raises(InvalidInput, match="1 slice is missing after"):
        desk.call("ct_nodules", study_id=first, unvalidated=True)
    with pytest.raises(InvalidInput, match="series_uid: must be a series of the study"):
        desk.call("ct_nodules", study_id=first, series_uid="1.2")
    with pytest.raises(NotFound, match="study"):
        desk.as_tenant("other").call("ct_nodules", study_id=first)


def test_the_calculators_answer_over_the_desk(desk: Desk) -> None:
    assert desk.call("fleischner", density="solid").status == "asks"
    assert desk.call("lung_rads", exam="baseline", nodule="none").category == "1"


def test_a_series_of_mixed_kernels_is_no_volume() -> None:
    images = to_slices(VOLUME)[:5]
    for image in images:
        image.ConvolutionKernel = "B30f"
    assert assemble(images).values.shape[0] == 5

    images[2].ConvolutionKernel = "B70f"
    with pytest.raises(InvalidInput, match=r"ConvolutionKernel \(0018,1210\): must be the same in every slice"):
        assemble(images)
    del images[2].ConvolutionKernel
    with pytest.raises(InvalidInput, match="ConvolutionKernel"):
        assemble(images)
