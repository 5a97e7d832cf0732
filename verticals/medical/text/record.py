"""A patient's record, plain text or a FHIR R4 Bundle, to problems and medicines for the report's indication.

Ignores everything else in it; nothing of it is kept. A record that names another patient is refused: what is read here
ends in a report.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verticals.contract import InvalidInput
from verticals.medical.evidence import Presence
from verticals.medical.text.assertion import Cues
from verticals.medical.text.reader import read
from verticals.medical.text.sentences import split
from verticals.medical.vocabulary import KINDS, Code, codes_of

if TYPE_CHECKING:  # torch takes seconds, and a Bundle without notes needs none
    from verticals.medical.text.entities import Entity

ReadEntities = Callable[[str], "list[Entity]"]  # of one sentence

MAX_NAMED = 12  # problems, and medicines, in an indication
_NUMBER = re.compile(
    r"\b(?:MRN|medical record (?:number|no\.?)|patient (?:id|identifier|number|no\.?))[ \t]*[:#=][ \t]*([\w./-]+)", re.I
)
_FAMILY = re.compile(
    r"\b(?:family history|mother|father|sister|brother|aunt|uncle|grand\w+|sibling)s?\b", re.IGNORECASE
)
_DENIED = ("refuted", "entered-in-error")
_DOUBTED = ("provisional", "differential", "unconfirmed")
_OVER = ("inactive", "remission", "resolved", "stopped", "completed", "cancelled")


@dataclass(frozen=True)
class Fact:
    """A problem or a medicine as the record names it; `is_history`: over, or told as of the past."""

    kind: str  # "problem" or "medicine"
    text: str
    presence: Presence
    is_history: bool

    @property
    def codes(self) -> tuple[Code, ...]:
        """Of the vocabulary's kinds that a problem's words name; no code is made for others."""
        named = [mention.concept for mention in read(self.text) if mention.concept in KINDS]
        return tuple(code for kind in named for code in codes_of(kind)) if self.kind == "problem" else ()


def read_record(record: str, *, patient_id: str, read_entities: ReadEntities) -> list[Fact]:
    """Problems and medicines in the order in which they are first named, each once.

    Args:
        record: JSON of a Bundle, or plain text.
        patient_id: Whose record it must be, as the hospital writes it.
        read_entities: Reads plain text, also that of notes inside a Bundle.
    Raises:
        InvalidInput: it names another patient, or is JSON and no Bundle of one patient.
    """
    if record.lstrip().startswith("{"):
        facts = _of_bundle(record, patient_id, read_entities)
    else:
        facts = _of_text(record, patient_id, read_entities)
    found: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        key = fact.kind, fact.text.lower()
        # what is denied once and stated later ("no asthma" ... "asthma") is stated
        if key not in found or (found[key].presence == "absent" != fact.presence):
            found[key] = fact
    return list(found.values())


def indication(facts: Iterable[Fact]) -> str:
    """One paragraph for a report: what is there, what is doubted, what was, and medicines; denials are left out."""
    said = [fact for fact in facts if fact.presence != "absent"]
    problems = [fact for fact in said if fact.kind == "problem"]
    parts = (
        ("Problems", [f for f in problems if f.presence == "present" and not f.is_history]),
        ("Possible", [f for f in problems if f.presence == "uncertain" and not f.is_history]),
        ("History", [f for f in problems if f.is_history]),
        ("Medicines", [f for f in said if f.kind == "medicine" and not f.is_history]),
    )
    told = [f"{name}: {', '.join(f.text for f in listed[:MAX_NAMED])}." for name, listed in parts if listed]
    return " ".join(told)


def _of_text(text: str, patient_id: str, read_entities: ReadEntities) -> Iterator[Fact]:
    for number in _NUMBER.findall(text):
        if number.strip(".") != patient_id:
            raise _other_patient("record")
    for sentence in split(text):
        if _FAMILY.search(sentence.text):
            continue
        cues = Cues(sentence.text)
        for entity in read_entities(sentence.text):
            told = cues.assertion(entity.start, entity.end)
            kind = "problem" if entity.kind == "Disease" else "medicine"
            yield Fact(kind, entity.text, told.presence, told.is_history)


def _of_bundle(record: str, patient_id: str, read_entities: ReadEntities) -> Iterator[Fact]:
    try:
        bundle = json.loads(record)
    except json.JSONDecodeError as error:
        raise InvalidInput("is not JSON", field="record", remedy="Send a Bundle, or plain text.") from error
    if bundle.get("resourceType") != "Bundle" or not isinstance(bundle.get("entry"), list):
        raise InvalidInput("must be a FHIR Bundle with entries", field="record.resourceType")
    entries = [
        entry for entry in bundle["entry"] if isinstance(entry, dict) and isinstance(entry.get("resource"), dict)
    ]
    own = _names_of_patient(entries, patient_id)
    for entry in entries:
        resource = entry["resource"]
        subject = _at(resource, "subject", "reference") or _at(resource, "patient", "reference")
        if subject and subject not in own:
            raise _other_patient(f"record.{resource.get('resourceType')}.subject")
        yield from _of_resource(resource, patient_id, read_entities)


def _names_of_patient(entries: list[dict[str, Any]], patient_id: str) -> set[str]:
    """The references by which a Bundle's one patient may be meant."""
    patients = [entry for entry in entries if entry["resource"].get("resourceType") == "Patient"]
    if len(patients) != 1:
        raise InvalidInput("must hold exactly one Patient", field="record.Patient", value=f"{len(patients)} patients")
    patient = patients[0]["resource"]
    numbers = {i.get("value") for i in patient.get("identifier", []) if isinstance(i, dict)}
    if patient_id not in numbers:
        raise _other_patient("record.Patient.identifier")
    return {f"Patient/{patient.get('id')}", str(patients[0].get("fullUrl"))}


def _of_resource(resource: dict[str, Any], patient_id: str, read_entities: ReadEntities) -> Iterator[Fact]:
    kind = resource.get("resourceType")
    if kind == "Condition":
        verified, clinical = (_code(resource.get(key)) for key in ("verificationStatus", "clinicalStatus"))
        presence: Presence = "absent" if verified in _DENIED else "uncertain" if verified in _DOUBTED else "present"
        yield from _named("problem", resource.get("code"), presence, is_history=clinical in _OVER)
    elif kind in ("MedicationStatement", "MedicationRequest"):
        status = str(resource.get("status"))
        presence = "absent" if status in ("entered-in-error", "not-taken") else "present"
        named = _named("medicine", resource.get("medicationCodeableConcept"), presence, is_history=status in _OVER)
        yield from named
    elif kind == "DocumentReference":
        for content in resource.get("content", []):
            attachment = content.get("attachment", {})
            if str(attachment.get("contentType", "")).startswith("text/plain") and attachment.get("data"):
                yield from _of_text(_decoded(attachment["data"]), patient_id, read_entities)


def _named(kind: str, concept: Any, presence: Presence, *, is_history: bool) -> Iterator[Fact]:
    """A CodeableConcept's text, or its first display; without either there is nothing to say."""
    displays = [coding.get("display") for coding in _at(concept, "coding") or [] if isinstance(coding, dict)]
    name = _at(concept, "text") or next((display for display in displays if display), None)
    if isinstance(name, str) and name.strip():
        yield Fact(kind, " ".join(name.split()), presence, is_history)


def _code(concept: Any) -> str:
    codings = _at(concept, "coding") or [{}]
    return str(codings[0].get("code", ""))


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        rule = "must be base64 of UTF-8 text (FHIR R4 Attachment)"
        raise InvalidInput(rule, field="record.DocumentReference.content.attachment.data") from error


def _other_patient(field: str) -> InvalidInput:
    return InvalidInput(
        "names another patient than the study", field=field, remedy="Send the record of the study's patient."
    )
