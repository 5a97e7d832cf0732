"""The audit trail as a file: CSV, JSON lines, or FHIR R4 AuditEvents, made as it is sent. Ignores who may have it.

FHIR's file is its bulk form, one resource a line (https://hl7.org/fhir/uv/bulkdata/, application/fhir+ndjson).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.audit_read import AuditFilter, stretch
from service.audit_tables import canonical
from verticals.contract import ArtifactStream, Decision, InvalidInput

COLUMNS = (
    *("sequence", "at", "actor", "request_id", "kind", "subject", "input_sha256", "outcome"),
    *("model_version", "policy_version", "latency_ms", "commitment", "sha256"),
)
BLOCK = 1000  # lines
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run (OWASP, "CSV Injection")
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
KINDS = "urn:trivium:audit:kind"
ACTIVITY = ("110100", "Application Activity")  # https://hl7.org/fhir/R4/valueset-audit-event-type.html
ACTIVITIES = {"export": ("110106", "Export"), "ingest": ("110107", "Import"), "query": ("110112", "Query")}
DETAILS = (
    *("sequence", "request_id", "input_sha256", "model_version", "policy_version", "latency_ms"),
    *("commitment", "sha256"),
)


class Format(NamedTuple):
    """A kind of file: what it is called, and how it is written."""

    media_type: str
    filename: str
    write: Callable[[Iterator[dict[str, Any]]], Iterator[str]]


def export(audit: AuditLog, tenant: str, *, form: str, only: AuditFilter, who: Mapping[str, str]) -> ArtifactStream:
    """The wanted entries, oldest first. That they left is an entry itself, durable before the first of them.

    Raises:
        InvalidInput: there is no such format.
    """
    if form not in FORMATS:
        raise InvalidInput(f"must be one of {', '.join(FORMATS)}", field="format", value=form)
    wanted = {"format": form} | {name: str(value) for name, value in vars(only).items() if value}
    digest = hashlib.sha256(canonical(wanted).encode()).hexdigest()
    audit.record(Decision("audit.export", form, digest, wanted, "none"), who=who)
    made = FORMATS[form]
    return ArtifactStream(_blocks(made.write(_read(audit.sessions, tenant, only))), made.media_type, made.filename)


def _read(sessions: sessionmaker[Session], tenant: str, only: AuditFilter) -> Iterator[dict[str, Any]]:
    with sessions() as session:
        yield from stretch(session, tenant, only)


def _blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Many lines at a time: each block that is sent costs more than the making of a line."""
    while block := "".join(islice(lines, BLOCK)):
        yield block.encode()


def _csv(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield _row(COLUMNS)
    for entry in entries:
        outcome = entry["outcome"]
        told = entry | {"outcome": "" if outcome is None else canonical(outcome)}
        yield _row([_cell(told.get(name)) for name in COLUMNS])


def _row(cells: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _json_lines(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        yield canonical(entry) + "\n"


def _fhir_lines(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        yield canonical(to_audit_event(entry)) + "\n"


def to_audit_event(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as an R4 AuditEvent (https://hl7.org/fhir/R4/auditevent.html).

    FHIR's outcome says whether the event succeeded: what is in the trail did. What was decided is its description.
    """
    code, display = ACTIVITIES.get(entry["kind"].rpartition(".")[2], ACTIVITY)
    given = {name: entry.get(name) for name in DETAILS}
    details = [{"type": name, "valueString": str(value)} for name, value in given.items() if value not in (None, "")]
    about = {"what": {"identifier": {"value": entry["subject"]}}} if entry["subject"] else {}
    said = "payload erased" if entry["outcome"] is None else canonical(entry["outcome"])
    return {
        "resourceType": "AuditEvent",
        "id": f"{entry['sequence']}.{entry['sha256'][:16]}",
        "type": {"system": DICOM, "code": code, "display": display},
        "subtype": [{"system": KINDS, "code": entry["kind"]}],
        "action": "E",
        "recorded": entry["at"],
        "outcome": "0",
        "outcomeDesc": said,
        "agent": [{"who": {"identifier": {"value": entry["actor"]}}, "requestor": True}],
        "source": {"site": entry["tenant"], "observer": {"display": "Trivium"}},
        "entity": [{**about, "detail": details}],
    }


FORMATS: Mapping[str, Format] = {
    "csv": Format("text/csv; charset=utf-8", "audit.csv", _csv),
    "jsonl": Format("application/jsonl", "audit.jsonl", _json_lines),
    "fhir": Format("application/fhir+ndjson", "audit-events.ndjson", _fhir_lines),
}
