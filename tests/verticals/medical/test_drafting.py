"""Drafts of whole studies: every image that is read is in, refused ones are named, a person's text is left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.verticals.medical.conftest import Desk, SeesTextInStripes
from tests.verticals.medical.slices import ct_series
from verticals.medical import drafting
from verticals.medical.evidence import EvidenceGraph, Finding, Region
from verticals.medical.findings import Found, Image
from verticals.medical.intake import Intake
from verticals.medical.probes import phantom, radiograph, to_bytes
from verticals.medical.schemas import StudyResponse


def _finding(number: int, kind: str, presence: str = "present", **values: Any) -> Finding:
    return Finding.model_validate(
        {"finding_id": f"f{number}", "kind": kind, "presence": presence, "model": "m@1"} | values
    )


@dataclass
class ReadsByView:
    """Reads films: PA an effusion and no opacity, AP an opacity with its place; refuses others."""

    name_and_version: str = "m@1"

    def reads(self, modality: str, body_part: str) -> bool:
        return modality == "CR"

    def find(self, image: Image) -> Found:
        uid = str(image.header.SOPInstanceUID)
        scope = "Looked for: opacity, pleural effusion; for nothing else."
        if image.header.ViewPosition == "PA":
            graph = _finding(1, "effusion", site="pleura"), _finding(2, "opacity", "absent")
        elif image.header.ViewPosition == "AP":
            region = Region(sop_instance_uid=uid, shape="point", points=((8.5, 8.5),))
            graph = (
                _finding(1, "effusion", site="pleura"),
                _finding(2, "opacity", site="lower_lung_zone", side="left", regions=(region,)),
            )
        else:
            return Found(refusal=f"View Position (0018,5101) is {image.header.ViewPosition}.")
        return Found(EvidenceGraph(findings=graph), scope=scope)


def film(number: int, view: str) -> bytes:
    made = radiograph(phantom(number, size=64))
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.1.{number}"
    made.SeriesNumber, made.InstanceNumber, made.ViewPosition = 1, number, view
    return to_bytes(made)


@dataclass
class Room:
    """The desk with a model for films."""

    desk: Desk
    intake: Intake

    def send(self, content: bytes) -> StudyResponse:
        taken = self.intake.take(content, origin="synthetic", context=self.desk.context)
        study = self.desk.call("get_study", study_id=taken.study_id)
        assert isinstance(study, StudyResponse)
        return study


@pytest.fixture
def room(desk: Desk) -> Room:
    return Room(desk, Intake(desk.resources.sessions, SeesTextInStripes(), 2**30, None, (ReadsByView(),)))


def _said(study: StudyResponse) -> dict[str, tuple[str, int]]:
    return {f.kind: (f.presence, len(f.regions)) for f in study.report.evidence.findings}


# --- in the draft ----------------------------------------------------------------------------------------------------


def test_the_draft_takes_the_findings_of_every_image(room: Room) -> None:
    first = room.send(film(1, "PA"))
    study = room.send(film(2, "AP"))

    assert (first.report.version, study.report.version, study.report.state) == (1, 2, "PRELIMINARY")
    assert _said(first) == {"effusion": ("present", 0), "opacity": ("absent", 0)}
    assert _said(study) == {"effusion": ("present", 0), "opacity": ("present", 1)}
    assert "effusions" not in study.report.sections.impression  # seen twice, it is one
    assert "Left lower lung zone opacity." in study.report.sections.impression
    assert study.report.sections.examination == "Radiograph (CR), chest, PA and AP views."
    assert (
        "Read: 2 of 2 images. The images differ on: opacity; what is there counts." in study.report.sections.technique
    )
    assert study.report.evidence["f2"].regions[0].sop_instance_uid == study.series[0].sop_instance_uids[1]
    assert (study.drafted_from, study.num_after_editing) == (first.drafted_from, 0)
    assert room.desk.recorder.decisions[-1].outcome["report_version"] == 2


@pytest.mark.parametrize("views", [("PA", "LL"), ("LL", "PA")])
def test_a_refused_image_is_named_and_hides_no_other(room: Room, views: tuple[str, str]) -> None:
    room.send(film(1, views[0]))
    study = room.send(film(2, views[1]))

    refused = views.index("LL") + 1
    told = f"Image {refused} (series 1, number {refused}) was not read: m@1 does not read this image: View Position"
    assert _said(study) == {"effusion": ("present", 0), "opacity": ("absent", 0)}
    assert study.report.findings_status.status == "applied"
    assert "Read: 1 of 2 images." in study.report.findings_status.reason
    assert told in study.report.findings_status.reason


def test_what_no_model_is_for_makes_no_new_version(room: Room) -> None:
    for each in ct_series(3):
        study = room.send(to_bytes(each))

    assert study.report.version == 1
    assert "One CT image object was read" in study.report.sections.technique


def test_films_that_arrive_at_once_are_all_in_the_draft(room: Room) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(room.send, [film(n, "AP") for n in range(1, 5)]))

    study = room.send(film(5, "AP"))
    assert study.report.version == 5
    assert _said(study) == {"effusion": ("present", 0), "opacity": ("present", 5)}
    assert len(study.report.evidence.findings) == 2


# --- a person's text -------------------------------------------------------------------------------------------------


def test_an_edited_draft_stays_and_is_told_that_images_came_later(room: Room) -> None:
    before = room.send(film(1, "PA")).report
    edited = room.desk.complete(before, findings="Right pleural effusion.", impression="Right pleural effusion.")
    study = room.send(film(2, "AP"))

    assert study.report.sections == edited.sections
    assert (study.report.version, study.num_after_editing, study.num_after_signing) == (2, 1, 0)

    room.desk.sign(study.report)
    study = room.send(film(3, "AP"))
    assert (study.num_after_editing, study.num_after_signing) == (1, 1)


def test_an_edit_is_held_against_the_newest_draft(room: Room) -> None:
    room.send(film(1, "PA"))
    drafted = room.send(film(2, "AP")).report
    edited = room.desk.complete(drafted, findings="No opacity.", impression="No opacity.")

    assert "f2 is present, not absent" in [remark.reason for remark in edited.remarks]


def test_what_was_looked_for_is_no_finding_of_who_edits(room: Room) -> None:
    drafted = room.send(film(1, "PA")).report
    edited = room.desk.complete(drafted, findings=drafted.sections.findings, impression=drafted.sections.impression)

    assert "Looked for: opacity" in edited.sections.technique
    assert edited.evidence == drafted.evidence
    assert edited.remarks == []


# --- merging ---------------------------------------------------------------------------------------------------------


def _merged(*graphs: tuple[Finding, ...]) -> tuple[list[tuple[str, str, str | None]], list[str]]:
    made, differing = drafting.merged([EvidenceGraph(findings=graph) for graph in graphs])
    return [(f.kind, f.presence, f.side) for f in made.findings], differing


def test_each_eye_keeps_its_own_and_an_eye_has_its_highest_grade() -> None:
    def eye(kind: str, side: str, presence: str = "present") -> tuple[Finding, ...]:
        return (_finding(1, kind, presence, site="retina", side=side),)

    said, differing = _merged(
        eye("dr", "left", "absent"), eye("dr_mild", "right"), eye("dr_moderate", "right"), eye("dr", "right", "absent")
    )

    assert said == [("dr", "absent", "left"), ("dr_moderate", "present", "right")]
    assert differing == ["dr_mild", "dr"]


def test_two_of_a_kind_in_each_of_two_images_stay_two() -> None:
    pair = _finding(1, "opacity"), _finding(2, "opacity")

    assert _merged(pair, pair)[0] == [("opacity", "present", None)] * 2


def test_the_surer_of_two_gives_the_probability() -> None:
    graphs = [EvidenceGraph(findings=(_finding(1, "effusion", prob=prob),)) for prob in (0.6, 0.9)]

    assert drafting.merged(graphs)[0].findings[0].prob == 0.9
