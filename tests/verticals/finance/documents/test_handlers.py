"""The operation: an answer, one audit entry that holds a hash, and nothing kept."""

from __future__ import annotations

import json
import logging
from datetime import date

import pytest
from pydantic import ValidationError

from tests.verticals.finance.conftest import Recorder
from tests.verticals.finance.documents.fakes import TODAY, FakeOcr, lines_of
from tests.verticals.finance.documents.test_images import file_of, picture
from verticals.contract import Context, Decision, InvalidInput, Unavailable, UploadedFile
from verticals.finance import VERTICAL
from verticals.finance.documents.handlers import DocumentDesk
from verticals.finance.documents.holders import Facts, invent
from verticals.finance.documents.mismatch import FEATURES
from verticals.finance.documents.ocr import Ocr
from verticals.finance.documents.schemas import DocumentRequest


def request(facts: Facts | None = None, **changes: object) -> DocumentRequest:
    file = UploadedFile(filename="card.png", content=file_of(picture()))
    said: dict[str, object] = {"file": file, "application_id": "app-1"}
    if facts:
        said |= {"name": f"{facts.given_names} {facts.surname}", "birth_date": facts.birth_date}
        said |= {"document_number": facts.number}
    return DocumentRequest.model_validate(said | changes)


def passport() -> Facts:
    return invent("passport", seed=2, today=TODAY)


def keep_nothing(context: Context, customer: str, features: object, decision: Decision) -> str:
    raise AssertionError("nobody named a customer")


def desk(*answers: object) -> DocumentDesk:
    ocr = FakeOcr(*(answers or (lines_of(passport()),)))  # type: ignore[arg-type]
    return DocumentDesk(keep_nothing, open_reader=lambda: ocr, today=lambda: TODAY)


def test_a_document_is_read_and_compared(context: Context) -> None:
    facts = passport()

    found = desk().read(request(facts), context)

    assert (found.application_id, found.kind) == ("app-1", "passport")
    assert {field.name: field.value for field in found.fields}["surname"] == facts.surname
    assert found.zone is not None
    assert (found.zone.size, all(found.zone.checks.values())) == ("TD3", True)
    assert [feature.name for feature in found.features] == list(FEATURES)
    assert all(feature.meaning for feature in found.features)


def test_the_audit_holds_a_hash_and_codes_but_nothing_that_the_document_says(
    context: Context, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    facts = passport()
    with caplog.at_level(logging.DEBUG):
        found = desk().read(request(facts, name="Zoe Unknown"), context)

    [entry] = recorder.decisions
    kept = json.dumps([entry.kind, entry.subject, entry.outcome, entry.model_version]) + caplog.text
    assert (entry.kind, entry.subject, entry.input_sha256) == ("finance.document", "app-1", found.input_sha256)
    assert entry.model_version == "fake@1; documents@1"
    assert {"code": "D03", "severity": "alert", "field": "name"} in entry.outcome["findings"]
    assert "days_to_expiry" not in entry.outcome["features"]  # with the entry's date it would tell the document's
    personal = (facts.surname, facts.given_names, facts.number, str(facts.birth_date), *facts.mrz, "Zoe")
    assert not any(str(value) in kept for value in personal)


def test_the_hash_covers_the_image_and_what_was_stated(context: Context) -> None:
    facts = passport()
    other = UploadedFile(filename="card.png", content=file_of(picture(400, 300)))
    requests = (request(facts), request(facts, name="A B"), request(facts, file=other), request(facts))

    hashes = [desk().read(each, context).input_sha256 for each in requests]

    assert len(set(hashes)) == 3
    assert hashes[0] == hashes[3]


def test_without_a_reference_one_is_made(context: Context) -> None:
    assert desk().read(request(application_id=None), context).application_id.startswith("doc-")


def test_a_stated_birth_date_in_the_future_is_refused(context: Context, recorder: Recorder) -> None:
    with pytest.raises(InvalidInput, match=r"birth_date: must not lie in the future \(got 'a date after today'\)"):
        desk().read(request(birth_date=date(2026, 12, 1)), context)
    assert recorder.decisions == []


def test_an_image_that_is_no_image_is_refused_and_leaves_no_entry(context: Context, recorder: Recorder) -> None:
    file = UploadedFile(filename="card.png", content=b"no image")

    with pytest.raises(InvalidInput, match="file: is no image"):
        desk().read(request(file=file), context)
    assert recorder.decisions == []


def test_without_the_extra_the_error_names_the_command(context: Context) -> None:
    def missing() -> Ocr:
        raise Unavailable("reading documents needs the packages rapidocr", field="documents", remedy="Run: pip install")

    with pytest.raises(Unavailable, match=r"needs the packages rapidocr\. Run: pip install"):
        DocumentDesk(keep_nothing, open_reader=missing).read(request(), context)


def test_the_reader_is_opened_once(context: Context) -> None:
    opened = []

    def opening() -> Ocr:
        opened.append(1)
        return FakeOcr([])

    used = DocumentDesk(keep_nothing, open_reader=opening, today=lambda: TODAY)
    used.read(request(), context)
    used.read(request(), context)

    assert opened == [1]


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"name": "x" * 201}, {"document_number": "<script>"}, {"birth_date": "yesterday"}, {"more": 1}],
)
def test_requests_outside_the_schema_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        request(**changes)


def test_the_operation_is_registered() -> None:
    [found] = [operation for operation in VERTICAL.operations if operation.name == "documents"]

    assert (found.method, found.path, found.request) == ("POST", "/documents", DocumentRequest)
