"""A report: its draft, its states, its hash, and the blocks every export prints. Ignores storage and file formats.

PRELIMINARY -> EDITED -> FINAL -> AMENDED. A version is never changed; each names the hash of the one before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from verticals.contract import Conflict, InvalidInput, Unavailable
from verticals.medical.attributes import body_part
from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph
from verticals.medical.frames import num_frames
from verticals.medical.language import NOTHING_SAID, Draft
from verticals.medical.schemas import NOTICE, Addendum, FindingsStatus, Quality, ReportState, Sections
from verticals.medical.verify import as_edited
from verticals.medical.vocabulary import KINDS
from verticals.medical.wording import impression, is_of_the_whole

BLANK = "[to be completed by the radiologist]"
_BLANK = re.compile(r"\[\s*to be completed[^\]]*\]", re.IGNORECASE)
NO_PRIOR = "No prior study available."
SIGNED: tuple[ReportState, ...] = ("FINAL", "AMENDED")

# What a reader goes through, by body part; the draft leaves each line blank.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "CHEST": (
        "Lungs",
        "Pleura",
        "Heart and great vessels",
        "Mediastinum and hila",
        "Bones and soft tissues",
        "Devices",
    ),
    "HEAD": (
        "Brain parenchyma",
        "Ventricles and extra-axial spaces",
        "Vessels",
        "Skull, sinuses and mastoids",
        "Orbits",
    ),
    "ABDOMEN": (
        "Liver and biliary system",
        "Pancreas and spleen",
        "Kidneys and adrenals",
        "Bowel",
        "Vessels and nodes",
        "Bones",
    ),
    "EYE": ("Optic disc", "Macula", "Retinal vessels", "Retina"),
    "SPINE": ("Alignment", "Vertebral bodies", "Discs and canal", "Soft tissues"),
}
# Where a sentence of the draft stands, by the usual site of what it names; others stand above the template.
_STRUCTURES = {
    "lung": "Lungs",
    "pleura": "Pleura",
    "heart": "Heart and great vessels",
    "aorta": "Heart and great vessels",
    "mediastinum": "Mediastinum and hila",
    "bone": "Bones and soft tissues",
    "spine": "Bones and soft tissues",
}
_NAMES = {"CT": "Computed tomography", "MR": "Magnetic resonance imaging", "OP": "Ophthalmic photograph"}
_ALIASES = {
    "RETINA": "EYE",
    "BRAIN": "HEAD",
    "SKULL": "HEAD",
    "CSPINE": "SPINE",
    "TSPINE": "SPINE",
    "LSPINE": "SPINE",
    "RIB": "CHEST",
}


@dataclass(frozen=True)
class Report:
    """One version of a report."""

    report_id: str
    study_id: str
    version: int
    state: ReportState
    sections: Sections
    findings_status: FindingsStatus
    created_at: datetime  # UTC, of this version
    previous_sha256: str  # "" for version 1
    signer: str | None = None
    signed_at: datetime | None = None
    addenda: tuple[Addendum, ...] = ()
    evidence: EvidenceGraph = NO_EVIDENCE  # what its text states: of the models' findings, and beyond them its reader's
    # Of the versions before it, and in no hash: what the models found, as the last draft has it; the first edit.
    drafted: EvidenceGraph = field(default=NO_EVIDENCE, compare=False)
    edited_at: datetime | None = field(default=None, compare=False)

    @property
    def blanks(self) -> int:
        """Blanks in the sections that are still to be completed."""
        return sum(len(_BLANK.findall(text)) for text in self.sections.model_dump().values())

    @property
    def content_sha256(self) -> str:
        """SHA-256 of everything above as canonical JSON; a changed letter, state or signature changes it."""
        content = {
            "report_id": self.report_id,
            "study_id": self.study_id,
            "version": self.version,
            "state": self.state,
            "sections": self.sections.model_dump(),
            "findings_status": self.findings_status.model_dump(),
            "created_at": _stamp(self.created_at),
            "previous_sha256": self.previous_sha256,
            "signer": self.signer,
            "signed_at": self.signed_at and _stamp(self.signed_at),
            "addenda": [[a.author, a.text, _stamp(a.added_at)] for a in self.addenda],
        }
        if self.evidence.findings:  # reports from before there was evidence keep their hash
            content["evidence"] = self.evidence.model_dump(mode="json")
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class Pictured:
    """An image that a draft speaks of: its de-identified header and its quality."""

    header: Dataset
    quality: Quality

    def name(self, number: int) -> str:
        """By its place among the draft's images, from 1, with the file's own numbers where it has them."""
        own = self.header.get("SeriesNumber"), self.header.get("InstanceNumber")
        return f"Image {number}" + ("" if None in own else f" (series {own[0]}, number {own[1]})")


def draft(
    images: Sequence[Pictured], status: FindingsStatus, said: Draft = NOTHING_SAID, *, priors: Sequence[str] = ()
) -> Sections:
    """A draft from the headers, the images' quality and the evidence, with blanks for what a person must see.

    What was read and what not stands in the technique: findings and impression state findings and nothing else, since
    whatever they name is taken for said.

    Args:
        images: In the order in which they are numbered; body part and technique are the first one's.
        said: What the language step made of a findings model's evidence; nothing when none was applied.
        priors: Ids of stored studies of the same patient. They are named, never compared with.
    """
    part = body_part(images[0].header)
    lines = [line for number, image in enumerate(images, start=1) for line in _quality(image, number, len(images))]
    template = _TEMPLATES.get(_ALIASES.get(part, part), ("Findings",))
    told: dict[str | None, list[str]] = {}
    for sentence, statement in zip(said.sentences, said.statements, strict=True):
        if is_of_the_whole(statement):
            continue
        structure = _STRUCTURES.get(KINDS[statement.findings[0].kind].sites[0])
        told.setdefault(structure if structure in template else None, []).append(sentence)
    lines += told.get(None, [])
    lines += [f"{structure}: {' '.join(told.get(structure, [BLANK]))}" for structure in template]
    earlier = f"Earlier studies in this archive: {', '.join(priors)}. Comparison: {BLANK}"
    return Sections(
        examination=_examination([image.header for image in images], part),
        technique=f"{_technique(images)} Automated findings: {status.status}. {status.reason}",
        comparison=earlier if priors else NO_PRIOR,
        findings="\n".join(lines),
        impression="\n".join(impression(said.statements)) or BLANK,
    )


def _quality(image: Pictured, number: int, total: int) -> list[str]:
    quality, which = image.quality, f"{image.name(number)}, quality" if total > 1 else "Image quality"
    lines = [f"{which}: {quality.verdict}." + "".join(f" {reason}" for reason in quality.reasons)]
    if quality.verdict == "reject":
        lines.append("The image does not meet the limits for reading and should not be used for diagnosis.")
    return lines


def _examination(headers: Sequence[Dataset], part: str) -> str:
    first = headers[0]
    name = _NAMES.get(first.Modality, "Radiograph")
    region = "body part not stated in the file" if part == "UNKNOWN" else part.lower()
    views = list(dict.fromkeys(str(header.ViewPosition) for header in headers if header.get("ViewPosition")))
    view = f", {' and '.join(views)} view{'s' if len(views) > 1 else ''}" if views else ""
    sides = {str(header.get("ImageLaterality") or header.get("Laterality") or "") for header in headers}
    told = "B" if {"L", "R"} <= sides or "B" in sides else max(sides)
    side = {"L": ", left", "R": ", right", "B": ", both sides"}.get(told, "")
    return f"{name} ({first.Modality}), {region}{view}{side}."


def _technique(images: Sequence[Pictured]) -> str:
    """The first one's header values with their units; a value that the file does not give is not mentioned."""
    header = images[0].header
    facts = (
        ("SliceThickness", "slice thickness {:g} mm"),
        ("KVP", "{:g} kVp"),
        ("XRayTubeCurrent", "tube current {:g} mA"),
        ("ExposureTime", "exposure time {:g} ms"),
        ("MagneticFieldStrength", "{:g} T"),
        ("RepetitionTime", "TR {:g} ms"),
        ("EchoTime", "TE {:g} ms"),
        ("FlipAngle", "flip angle {:g} degrees"),
    )
    said = [text.format(float(header[k].value)) for k, text in facts if isinstance(header.get(k), int | float)]
    frames = num_frames(header)
    said.append(f"{frames} frame{'s' if frames > 1 else ''} of {header.Rows} x {header.Columns} pixels")
    if len(images) == 1:
        return f"One {header.Modality} image object was read; from its header: {', '.join(said)}."
    modalities = " and ".join(dict.fromkeys(str(image.header.Modality) for image in images))
    return f"{len(images)} {modalities} image objects were read; from the header of the first: {', '.join(said)}."


def redrafted(report: Report, sections: Sections, status: FindingsStatus, evidence: EvidenceGraph) -> Report:
    """The next version of a draft that no person has touched, with what came since.

    Raises:
        Conflict: a person has edited or signed it.
    """
    if report.state != "PRELIMINARY":
        raise Conflict("what a person wrote is not drafted again", field="state", value=report.state)
    changed = replace(report, sections=sections, findings_status=status, evidence=evidence, drafted=evidence)
    return _next(changed, report, datetime.now(UTC))


def edited(report: Report, sections: Sections, *, expected_version: int, now: datetime) -> Report:
    """The next version with new text and its evidence: what it left of the models', and what its reader adds.

    Raises:
        Conflict: the report is signed, or somebody changed it since `expected_version`.
    """
    _check_unsigned(report, "edited")
    _check_version(report, expected_version)
    evidence = as_edited(sections, report.drafted)
    return _next(replace(report, state="EDITED", sections=sections, evidence=evidence), report, now)


def signed(report: Report, *, signer: str, attest: bool, expected_version: int, now: datetime) -> Report:
    """The next version, FINAL.

    Raises:
        InvalidInput: without attestation, impression or findings, or with blanks left.
        Conflict: signed already, or changed since `expected_version`.
    """
    _check_unsigned(report, "signed again")
    _check_version(report, expected_version)
    if not attest:
        raise InvalidInput(
            "must be true: the signer states that the images and this text were reviewed", field="attest"
        )
    for section in ("findings", "impression"):
        if not getattr(report.sections, section):
            raise InvalidInput("must not be empty in a signed report", field=f"sections.{section}")
    if report.blanks:
        raise InvalidInput(
            "must all be completed or deleted before signing",
            field="sections",
            value=f"{report.blanks} blanks",
            remedy=f"Edit every {BLANK}.",
        )
    return _next(replace(report, state="FINAL", signer=signer, signed_at=now), report, now)


def amended(report: Report, *, author: str, text: str, now: datetime) -> Report:
    """The next version, AMENDED: the signed text as it is, and one addendum more.

    Raises:
        Conflict: the report is not signed yet.
    """
    if report.state not in SIGNED:
        raise Conflict("only a signed report takes an addendum", field="state", value=report.state, remedy="Edit it.")
    addenda = (*report.addenda, Addendum(author=author, text=text, added_at=now))
    return _next(replace(report, state="AMENDED", addenda=addenda), report, now)


def _check_unsigned(report: Report, what: str) -> None:
    if report.state in SIGNED:
        raise Conflict(
            f"a signed report cannot be {what}", field="state", value=report.state, remedy="Write an addendum."
        )


def _check_version(report: Report, expected: int) -> None:
    if report.version != expected:
        raise Conflict(
            f"the report is at version {report.version}: somebody changed it since you read it",
            field="expected_version",
            value=expected,
            remedy="Read it again and repeat your change.",
        )


def _next(changed: Report, before: Report, now: datetime) -> Report:
    return replace(changed, version=before.version + 1, previous_sha256=before.content_sha256, created_at=now)


def verify(chain: Sequence[tuple[Report, str]]) -> Report:
    """The newest version, after checking every version's stored hash, the chain, and that signed text never changed.

    Args:
        chain: (version as read, stored hash), oldest first.
    Raises:
        Unavailable: the stored report was altered outside this program.
    """
    previous: Report | None = None
    for report, stored_sha256 in chain:
        linked = (report.version, report.previous_sha256) == (
            (1, "") if previous is None else (previous.version + 1, previous.content_sha256)
        )
        kept = previous is None or previous.state not in SIGNED or _signed_part(previous) == _signed_part(report)
        if report.content_sha256 != stored_sha256 or not linked or not kept:
            raise altered(report.report_id, report.version)
        previous = report
    assert previous is not None  # a report has at least one version
    drafts = [report for report, _ in chain if report.state == "PRELIMINARY"]
    edited_at = next((report.created_at for report, _ in chain if report.state == "EDITED"), None)
    return replace(previous, drafted=drafts[-1].evidence, edited_at=edited_at)


def altered(report_id: str, version: int) -> Unavailable:
    """The error of a stored report that is not what this program wrote."""
    return Unavailable(
        "the stored report does not match its hash: it was altered outside this program",
        field="content_sha256",
        value=f"{report_id} version {version}",
        remedy="Restore it from a backup; the audit trail holds the hash of what was signed.",
    )


def _signed_part(report: Report) -> tuple[Any, ...]:
    return report.sections, report.signer, report.signed_at, report.findings_status, report.evidence


@dataclass(frozen=True)
class Block:
    """One piece of the report as every export prints it: its title, LOINC section (PS3.16 CID 7001) and text."""

    title: str
    code: str
    meaning: str
    text: str


def blocks(report: Report) -> list[Block]:
    """The report in reading order. SR, FHIR and text are printed from this alone, so they cannot differ."""
    author = (
        f"Signed by {report.signer}, {_stamp(report.signed_at)}."
        if report.signer and report.signed_at
        else "Not signed."
    )
    status = f"{NOTICE}. Report {report.report_id}, version {report.version}, {report.state}. {author}"
    s = report.sections
    listed = [
        Block("Status", "55112-7", "Summary", status),
        Block("Examination", "55111-9", "Current Procedure Descriptions", s.examination),
        Block("Technique", "55111-9", "Current Procedure Descriptions", s.technique),
        Block("Comparison", "55114-3", "Prior Procedure Descriptions", s.comparison),
        Block("Findings", "59776-5", "Findings", s.findings),
        Block("Impression", "19005-8", "Impressions", s.impression),
    ]
    listed += [
        Block("Addendum", "55107-7", "Addendum", f"{a.author}, {_stamp(a.added_at)}: {a.text}") for a in report.addenda
    ]
    return [block for block in listed if block.text]


def as_text(report: Report) -> str:
    """The report as plain text."""
    return "\n\n".join(f"{block.title.upper()}\n{block.text}" for block in blocks(report)) + "\n"
