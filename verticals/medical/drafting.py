"""The draft of a whole study: what the models found in each of its images, as one. Ignores how an image is read.

An image that a findings model is for counts: if it was read, with its findings; if it was refused, by name and reason.
Images that no model is for (the slices of a CT) add nothing, so a series makes one draft.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from verticals.medical import report
from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph, Finding
from verticals.medical.fundus.reader import GRADE_KINDS
from verticals.medical.instance_tables import MedicalInstance, read_dataset
from verticals.medical.language import Draft
from verticals.medical.report import Pictured, Report
from verticals.medical.schemas import FindingsStatus, Quality, Sections
from verticals.medical.tables import MedicalStudy, append_report, earlier_studies, get_report
from verticals.medical.vocabulary import KINDS

_STRENGTH = {"absent": 0, "uncertain": 1, "present": 2}


@dataclass(frozen=True)
class Read:
    """An image and what became of it; `evidence` None: no findings model is for such images."""

    picture: Pictured
    status: FindingsStatus
    evidence: EvidenceGraph | None


@dataclass(frozen=True)
class Plan:
    """What a draft has to say.

    Attributes:
        before: The draft that it takes the place of; None: it is the study's first.
    """

    before: Report | None
    pictures: tuple[Pictured, ...]
    status: FindingsStatus
    evidence: EvidenceGraph


def first(image: Read) -> Plan:
    """Of a study's first image."""
    return Plan(None, (image.picture,), image.status, image.evidence or NO_EVIDENCE)


def again(session: Session, study: MedicalStudy, image: Read) -> Plan | None:
    """With one image more; None: a person has edited or signed already, or no model is for it.

    None too where an image was stored before its findings were kept with it: that draft stays as it is.
    """
    if image.evidence is None:
        return None
    before = get_report(session, study.tenant, study_id=study.study_id)
    rows = _rows(session, study)
    if before.state != "PRELIMINARY" or any("evidence" not in row.details for row in rows):
        return None
    images = [*(_read(row) for row in rows if row.instance_id == study.drafted_from or row.details["evidence"]), image]
    status, evidence = together(images)
    return Plan(before, tuple(one.picture for one in images), status, evidence)


def as_of(session: Session, study: MedicalStudy, instance_id: str) -> Plan:
    """What the draft had to say that was made when this image came, from what is kept of it and those before it."""
    rows = _rows(session, study)
    until = next(number for number, row in enumerate(rows, start=1) if row.instance_id == instance_id)
    if until == 1:
        return first(_read(rows[0]))
    images = [_read(row) for row in rows[:until] if row.instance_id == study.drafted_from or row.details["evidence"]]
    status, evidence = together(images)
    return Plan(None, tuple(one.picture for one in images), status, evidence)


def _rows(session: Session, study: MedicalStudy) -> list[MedicalInstance]:
    """The study's images in the order of their arrival."""
    row = MedicalInstance
    mine = select(row).where(row.tenant == study.tenant, row.study_id == study.study_id)
    return list(session.execute(mine.order_by(row.received_at, row.instance_id)).scalars())


def _read(row: MedicalInstance) -> Read:
    header = read_dataset(row, header_only=True)
    kept = row.details["evidence"]
    return Read(
        Pictured(header, Quality.model_validate(row.details["quality"])),
        FindingsStatus.model_validate(row.details["findings_status"]),
        EvidenceGraph.model_validate(kept) if kept else None,
    )


def store(session: Session, study: MedicalStudy, plan: Plan, said: Draft) -> Report:
    """The planned draft, stored; it names earlier studies of the patient.

    Raises:
        IntegrityError: somebody made the same version first.
    """
    sections = worded(session, study, plan, said)
    if plan.before is not None:
        made = report.redrafted(plan.before, sections, plan.status, plan.evidence)
    else:
        made = Report(
            report_id=f"rp_{secrets.token_hex(8)}",
            study_id=study.study_id,
            version=1,
            state="PRELIMINARY",
            sections=sections,
            findings_status=plan.status,
            created_at=datetime.now(UTC),
            previous_sha256="",
            evidence=plan.evidence,
        )
    append_report(session, study.tenant, made)
    return made


def worded(session: Session, study: MedicalStudy, plan: Plan, said: Draft) -> Sections:
    """The planned draft's text."""
    priors = earlier_studies(session, study.tenant, study.patient, before=study.received_at)
    return report.draft(plan.pictures, plan.status, said, priors=priors)


def together(images: Sequence[Read]) -> tuple[FindingsStatus, EvidenceGraph]:
    """Status and findings of several images: who read what, which was not read and why, and where they differ."""
    graphs = [image.evidence or NO_EVIDENCE for image in images]
    evidence, differing = merged(graphs)
    read = [image for image in images if image.status.status == "applied"]
    told = [*dict.fromkeys(image.status.reason for image in read), f"Read: {len(read)} of {len(images)} images."]
    for number, image in enumerate(images, start=1):
        if image.status.status != "applied":
            told.append(f"{image.picture.name(number)} was not read: {image.status.reason}")
    if differing:
        names = ", ".join(KINDS[kind].english for kind in differing)
        told.append(f"The images differ on: {names}; what is there counts.")
    models = dict.fromkeys(image.status.model for image in read if image.status.model)
    status = FindingsStatus(
        status="applied" if read else "no model available", reason=" ".join(told), model=", ".join(models) or None
    )
    return status, evidence


def merged(graphs: Sequence[EvidenceGraph]) -> tuple[EvidenceGraph, list[str]]:
    """One graph of several images', and the kinds on which they differ.

    The n-th of alike findings (kind, presence, place, sizes) of one image is the n-th of another: one finding with the
    regions of both. Where images differ about the same place, what is there counts before what may be or is not.
    """
    alike: dict[tuple[object, ...], Finding] = {}
    differing: list[str] = []
    for at, graph in enumerate(graphs):
        others = [finding for n, other in enumerate(graphs) if n != at for finding in other.findings]
        seen: Counter[tuple[object, ...]] = Counter()
        for finding in graph.findings:
            if any(_outweighs(other, finding) for other in others):
                differing.append(finding.kind)
                continue
            what = (finding.kind, finding.presence, finding.site, finding.side, finding.measurements, finding.model)
            seen[what] += 1
            key = (*what, seen[what])
            alike[key] = _one(alike[key], finding) if key in alike else finding
    numbered = (f.model_copy(update={"finding_id": f"f{n}"}) for n, f in enumerate(alike.values(), start=1))
    return EvidenceGraph(findings=tuple(numbered)), list(dict.fromkeys(differing))


def _one(finding: Finding, other: Finding) -> Finding:
    """Both as one: of the surer, with the regions of both."""
    surer = max(finding, other, key=lambda f: f.prob or 0.0)
    return surer.model_copy(update={"regions": (*finding.regions, *other.regions)})


def _outweighs(other: Finding, finding: Finding) -> bool:
    """Whether another image's finding says more of the same thing in the same place."""
    sides = {other.side, finding.side}
    if _family(other) != _family(finding) or sides == {"left", "right"}:
        return False
    return _strength(other) > _strength(finding)


def _family(finding: Finding) -> str:
    return GRADE_KINDS[0] if finding.kind in GRADE_KINDS else finding.kind


def _strength(finding: Finding) -> tuple[int, int]:
    grade = GRADE_KINDS.index(finding.kind) if finding.kind in GRADE_KINDS else 0
    return _STRENGTH[finding.presence], grade
