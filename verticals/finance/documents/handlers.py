"""The document check as an operation: an answer, and an audit entry that holds a hash. Keeps no image and no field."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime

from verticals.contract import Context, Decision, InvalidInput
from verticals.finance.documents import schemas
from verticals.finance.documents.mismatch import FEATURES, RULES, Examination, Stated, examine
from verticals.finance.documents.ocr import Ocr, open_ocr
from verticals.finance.documents.readers import Readers
from verticals.finance.documents.reading import Reading, read_document

Keep = Callable[[Context, str, Mapping[str, float | None], Decision], str]


def today_utc() -> date:
    """The day on which a document is judged."""
    return datetime.now(UTC).date()


class DocumentDesk:
    """Reads documents, as many together as there are cores; few more may wait.

    Args:
        keep: Files a customer's features and records the decision, in one transaction; gives their reference.
        open_reader: Opens a reader; raises `Unavailable` when its packages are missing.
        today: The day to judge by.
    """

    def __init__(
        self,
        keep: Keep,
        *,
        open_reader: Callable[[], Ocr] = open_ocr,
        today: Callable[[], date] = today_utc,
    ) -> None:
        self._keep = keep
        self._readers = Readers(open_reader)
        self._today = today

    def read(self, request: schemas.DocumentRequest, context: Context) -> schemas.DocumentResponse:
        """Read one image, compare it with what was stated, and record that it was done."""
        today = self._today()
        if request.birth_date and request.birth_date > today:
            rule = "must not lie in the future"
            raise InvalidInput(rule, field="birth_date", value="a date after today", remedy="Correct the birth date.")
        with self._readers.lend() as reader:
            reading = read_document(request.file.content, reader, today=today)
        stated = Stated(request.name, request.birth_date, request.document_number)
        found = examine(reading, stated, today=today)
        subject = request.application_id or f"doc-{uuid.uuid4().hex}"
        sha256, version = input_sha256(request), f"{reader.version}; {RULES}"
        decision = Decision(
            kind="finance.document",
            subject=subject,
            input_sha256=sha256,
            outcome=_outcome(reading, found),
            model_version=version,
        )
        evidence = None
        if request.customer is None or reading.kind == "unknown":
            context.record(decision)
        else:
            evidence = self._keep(context, request.customer, found.features, decision)
        return _respond(subject, reading, found, evidence=evidence, sha256=sha256, version=version)


def input_sha256(request: schemas.DocumentRequest) -> str:
    """Fingerprint of image and stated fields together: the fields alone could be guessed from their hash."""
    content = request.model_dump(mode="json", exclude={"file", "application_id", "customer"})
    content["image_sha256"] = hashlib.sha256(request.file.content).hexdigest()
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _outcome(reading: Reading, found: Examination) -> dict[str, object]:
    """For the audit: numbers and codes, nothing that a document says; days to the expiry would tell its date."""
    features = {name: value for name, value in found.features.items() if name != "days_to_expiry"}
    findings = [{"code": f.code, "severity": f.severity, "field": f.field} for f in found.findings]
    return {"kind": reading.kind, "features": features, "findings": findings}


def _respond(
    subject: str, reading: Reading, found: Examination, *, evidence: str | None, sha256: str, version: str
) -> schemas.DocumentResponse:
    zone = reading.mrz
    return schemas.DocumentResponse(
        application_id=subject,
        kind=reading.kind,
        fields=[schemas.DocumentField(name=name, **asdict(field)) for name, field in reading.fields.items()],
        zone=schemas.MachineZone(
            size=zone.size, checks=dict(zone.checks), repaired=list(zone.repaired), problems=list(zone.problems)
        )
        if zone
        else None,
        features=[
            schemas.DocumentFeature(name=name, value=value, meaning=FEATURES[name])
            for name, value in found.features.items()
        ],
        findings=[schemas.DocumentFinding(**asdict(finding)) for finding in found.findings],
        evidence=evidence,
        input_sha256=sha256,
        reader_version=version,
    )
