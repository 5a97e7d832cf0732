"""The worklist by urgency: the stated rule, the same in SQL as in Python, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from verticals.medical import tables
from verticals.medical.probes import phantom, radiograph, to_bytes
from verticals.medical.urgency import NAMES, Stated, finding_level, judge

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FRESH = NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("stated", "quality", "age_h", "expected"),
    [
        ([Stated("pneumothorax", "present", True)], "accept", 1, "critical"),
        ([Stated("pneumothorax", "uncertain", True)], "accept", 1, "urgent"),
        ([Stated("effusion", "present", True)], "accept", 1, "urgent"),
        ([Stated("nodule", "present", True)], "accept", 1, "soon"),
        ([Stated("nodule", "uncertain", True)], "accept", 1, "routine"),
        ([], "reject", 1, "urgent"),
        ([], "warn", 1, "routine"),
        ([], "accept", 25, "soon"),
        ([Stated("nodule", "present", True)], "accept", 25, "urgent"),
        ([Stated("effusion", "present", True)], "accept", 25, "urgent"),  # a wait alone makes nothing critical
    ],
)
def test_the_rule(stated: list[Stated], quality: Any, age_h: int, expected: str) -> None:
    urgency, reason = judge("PRELIMINARY", quality, stated, received_at=NOW - timedelta(hours=age_h), now=NOW)

    assert urgency == expected
    assert reason.endswith(".")


def test_what_is_signed_is_done() -> None:
    found = [Stated("pneumothorax", "present", True)]

    assert judge("FINAL", "reject", found, received_at=FRESH, now=NOW) == ("done", "Signed.")


def test_the_reason_names_finding_certainty_and_who_says_so() -> None:
    found = [Stated("effusion", "present", True), Stated("nodule", "present", False)]

    _, reason = judge("EDITED", "accept", found, received_at=FRESH, now=NOW)

    assert reason == "Pleural effusion: present according to a model."


def test_what_is_absent_has_no_level() -> None:
    assert finding_level("pneumothorax", "absent") == 0


def _film(desk: Any, seed: int) -> Any:
    return desk.ingest(to_bytes(radiograph(phantom(seed), uid=f"1.2.3.{seed}")))


def _received(desk: Any, study_id: str, hours_ago: int) -> None:
    moment = datetime.now(UTC) - timedelta(hours=hours_ago)
    with desk.resources.sessions() as session:
        row = tables.MedicalStudy
        session.execute(update(row).where(row.study_id == study_id).values(received_at=moment))
        session.commit()


TEXTS = (
    "Right pneumothorax.", "Possible pneumothorax.", "Left pleural effusion.", "No pneumothorax.", "Lungs clear.",
    "Nodule in the right upper lung zone.",
)  # fmt: skip


def test_sql_orders_as_the_rule_judges_and_equals_come_oldest_first(desk: Any) -> None:
    for seed, text in enumerate(TEXTS):
        study = _film(desk, seed)
        report = desk.complete(study.report, findings=text, impression="See above.", comparison="None.")
        if text == "Lungs clear.":
            desk.sign(report)
        _received(desk, study.study_id, hours_ago=seed * 7)  # 0 to 35

    listed = desk.call("list_studies", order="urgency").studies

    ranks = [(-NAMES.index(entry.urgency), entry.received_at) for entry in listed]
    assert ranks == sorted(ranks)
    assert [entry.urgency for entry in listed] == ["critical", "urgent", "urgent", "urgent", "routine", "done"]
    assert listed[0].urgency_reason == "Pneumothorax: present according to the reader."


def test_a_finding_that_the_reader_takes_out_no_longer_lifts_the_study(desk: Any) -> None:
    study = _film(desk, 1)
    found = desk.complete(study.report, findings="Right pneumothorax.")
    desk.complete(found, findings="No pneumothorax.")

    (entry,) = desk.call("list_studies", order="urgency").studies

    assert entry.urgency != "critical"


def test_pages_follow_each_other_and_signed_studies_can_be_left_out(desk: Any) -> None:
    studies = [_film(desk, seed) for seed in range(4)]
    desk.sign(desk.complete(studies[0].report, comparison="None."))

    pages = [desk.call("list_studies", order="urgency", reports="open", limit=2, offset=n) for n in (0, 2)]

    assert [page.total for page in pages] == [3, 3]
    assert {e.study_id for page in pages for e in page.studies} == {s.study_id for s in studies[1:]}


def test_another_tenant_has_another_worklist(desk: Any) -> None:
    _film(desk, 1)

    assert desk.as_tenant("other").call("list_studies", order="urgency").total == 0
