"""A recorded step of a report made again: the draft from what is kept of its images, a file from its version.

What the models found in an image is kept, not found again. A person's words are theirs: of an edit, a signature or an
addendum it is checked that the stored version is still the one that was recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from verticals.medical import drafting, language, tables
from verticals.medical.export import files
from verticals.medical.handlers import images_of
from verticals.medical.instance_tables import get_instance
from verticals.replaying import Kept, Replayed

PERSONS = ("medical.edit", "medical.sign", "medical.addendum")
_STABLE = ("fhir", "text")  # the same version gives the same bytes; other formats hold new ids or times
_BY_MODEL = (
    "Status, evidence and all sections but findings and impression were made again from what is kept; their sentences "
    "were chosen by a language model among the allowed ones, and it is not asked again."
)


def replay_entry(kept: Kept, entry: Mapping[str, Any], given: Mapping[str, Any] | None) -> Replayed:
    """`verticals.replaying.Replay`."""
    with kept.sessions() as session:
        if entry["kind"] == "medical.ingest":
            return _draft(session, kept.tenant, entry)
        if entry["kind"] in PERSONS:
            return _version(session, kept.tenant, entry)
        if entry["kind"] == "medical.export":
            return _file(session, kept.tenant, entry)
    return Replayed("not replayable", "Of medicine, drafts, report versions and exported files are looked at again.")


def _draft(session: Session, tenant: str, entry: Mapping[str, Any]) -> Replayed:
    outcome = entry["outcome"]
    row = get_instance(session, tenant, outcome["instance_id"])
    pairs: dict[str, tuple[Any, Any]] = {}
    pairs["dicom_sha256"] = (outcome["dicom_sha256"], now_sha256 := hashlib.sha256(row.dicom).hexdigest())
    versions = {"findings model": entry["model_version"]}
    if "report_id" not in outcome or now_sha256 != outcome["dicom_sha256"]:
        return Replayed.compared("unchanged", "The image made no draft; it is the one that came.", pairs, versions)
    if "evidence" not in row.details:
        return Replayed("not replayable", "The image was stored before its findings were kept with it.", versions)
    stored = tables.get_version(session, tenant, outcome["report_id"], outcome["report_version"])
    study = tables.get_study(session, tenant, stored.study_id)
    plan = drafting.as_of(session, study, row.instance_id)
    by_model = outcome["written_by"] == "model"
    now = drafting.worded(session, study, plan, language.write(plan.evidence)).model_dump()
    then = stored.sections.model_dump()
    for name in then:
        if not (by_model and name in ("findings", "impression")):
            pairs[name] = (then[name], now[name])
    pairs["evidence"] = (stored.evidence.model_dump(mode="json"), plan.evidence.model_dump(mode="json"))
    pairs["findings_status"] = (stored.findings_status.model_dump(), plan.status.model_dump())
    if by_model:
        return Replayed.compared("unchanged", _BY_MODEL, pairs, versions)
    said = "Drafted again from the kept evidence; what the models found in the pixels was not found again."
    return Replayed.compared("exact", said, pairs, versions)


def _version(session: Session, tenant: str, entry: Mapping[str, Any]) -> Replayed:
    outcome = entry["outcome"]
    stored = tables.get_version(session, tenant, entry["subject"], outcome["version"])
    pairs = {
        "content_sha256": (outcome["content_sha256"], stored.content_sha256),
        "before": (entry["input_sha256"], stored.previous_sha256),
        "state": (outcome["state"], stored.state),
    }
    said = "A person's words are not made again; the stored version was hashed again, and compared."
    return Replayed.compared("unchanged", said, pairs, {"version": str(stored.version)})


def _file(session: Session, tenant: str, entry: Mapping[str, Any]) -> Replayed:
    outcome = entry["outcome"]
    stored = tables.get_version(session, tenant, entry["subject"], outcome["version"])
    pairs = {"content_sha256": (entry["input_sha256"], stored.content_sha256)}
    versions = {"version": str(stored.version)}
    if outcome["format"] not in _STABLE:
        said = "The version is the one that was exported; a file of this format has ids or times of its own."
        return Replayed.compared("unchanged", said, pairs, versions)
    made = files.export(
        stored, images_of(session, tables.get_study(session, tenant, stored.study_id), stored), outcome["format"]
    )
    pairs["file_sha256"] = (outcome["file_sha256"], hashlib.sha256(made.content).hexdigest())
    return Replayed.compared("exact", "The file was written again from the stored version.", pairs, versions)
