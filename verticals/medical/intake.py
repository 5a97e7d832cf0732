"""Takes one DICOM object in: read, de-identify, look for text, grade, store. One transaction an object, or nothing.

Every way in (upload, C-STORE, STOW, watched folder, a PACS) comes through here. Ignores where an object came from.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Conflict, Context, Decision, TooLarge
from verticals.medical import (
    burned_in,
    colour,
    drafting,
    findings,
    geometry,
    ingest,
    language,
    quality,
    report,
    schemas,
    tables,
)
from verticals.medical.attributes import body_part, name, refuse
from verticals.medical.chest.quality import defects_of
from verticals.medical.confidentiality import METHOD
from verticals.medical.deidentify import Pseudonyms, deidentify, to_file, without_meta
from verticals.medical.evidence import EvidenceGraph
from verticals.medical.frames import frame_header, num_frames
from verticals.medical.fundus.photograph import to_dicom
from verticals.medical.fundus.quality import grade_photograph
from verticals.medical.fundus.side import Laterality, tell_eye
from verticals.medical.instance_tables import MedicalHeld, MedicalInstance, MedicalSeries, study_bytes
from verticals.undisturbed import hold

POLICY = f"{METHOD}; quality limits 1"
_TRIES = 10  # each failure means that another object of the study was stored
_WORST = ("accept", "warn", "reject")


class _Changed(Exception):
    """The study was made by another object since the draft was planned."""


@dataclass(frozen=True)
class Taken:
    """What became of an object. `id` is of the instance, or of the held object."""

    status: Literal["stored", "already present", "held"]
    id: str
    study_id: str | None  # None while held
    sop_class_uid: str  # as they were sent: for the answer to the sender, never stored
    sop_instance_uid: str


@dataclass(frozen=True)
class Prepared:
    """An object that is ready to be stored."""

    row: MedicalInstance
    header: Dataset
    facts: schemas.ImageFacts
    status: schemas.FindingsStatus
    evidence: EvidenceGraph | None  # None: no findings model is for such images
    grade: schemas.Quality

    @property
    def read(self) -> drafting.Read:
        """As its study's draft sees it."""
        return drafting.Read(report.Pictured(self.header, self.grade), self.status, self.evidence)


@dataclass(frozen=True)
class Intake:
    """Where objects arrive.

    Args:
        reader: Finds text in pixels.
        max_study_bytes: Of one study's stored objects together.
        model: Words the drafts; None: templates do.
        readers: Findings models, the first that reads an image first.
    """

    sessions: sessionmaker[Session]
    reader: burned_in.TextReader
    max_study_bytes: int
    model: language.Model | None
    readers: tuple[findings.FindingsModel, ...] = ()

    def take(
        self,
        content: bytes,
        *,
        origin: schemas.Origin,
        context: Context,
        study_uid: str = "",
        laterality: Laterality | None = None,
    ) -> Taken:
        """Store one Part 10 file or photograph, or say that it is there already, or hold it for a person.

        Args:
            laterality: The photographed eye, where a person has told it.
            study_uid: As sent, of the study that the object must be of; "" for any.
        Raises:
            Conflict: another object has its UID (PS3.5 9), its study another patient, its series another study; or a
                person has discarded it.
            TooLarge: its study would be larger than the setting allows.
            TriviumError: as `ingest.read` says.
        """
        received = ingest.read(to_dicom(content, laterality))
        tell_eye(received.dataset, laterality)
        sent = str(received.dataset.SOPClassUID), str(received.dataset.SOPInstanceUID)
        if study_uid and received.dataset.StudyInstanceUID != study_uid:
            refuse("StudyInstanceUID", "must be the study that the objects are stored to", "PS3.18 10.5.1")
        pseudonyms = Pseudonyms(tables.tenant_key(self.sessions, context.tenant))
        clean, account = deidentify(received.dataset, pseudonyms)
        # Of the de-identified object: the same one may come by several ways, in several transfer syntaxes.
        mac = pseudonyms.mac("object", without_meta(to_file(clean))).hex()
        with self.sessions() as session:
            if known := _known(session, context.tenant, clean.SOPInstanceUID, mac):
                return Taken(*known, *sent)
        found = burned_in.search(received.stored, received.dataset, self.reader)
        account.warnings.append(found.account)
        if found.must_be_held:
            held = _held(clean, account, found, received.warnings)
            held.tenant, held.source_mac, held.origin = context.tenant, mac, origin
            return Taken(*self._hold(held, context), *sent)
        ready = self.prepare(received.stored, clean, account, told=received.warnings)
        ready.row.tenant, ready.row.source_mac, ready.row.origin = context.tenant, mac, origin
        return Taken(*self.store(ready, context), *sent)

    def prepare(
        self, stored: geometry.Array, clean: Dataset, account: schemas.Deidentification, *, told: list[str]
    ) -> Prepared:
        """Measure, grade, find: everything that needs no database. Tenant, origin and hash are still blank."""
        facts = geometry.measure(stored, clean)
        told = list(told)
        if facts.frames > 1:
            told.append(f"The file holds {facts.frames} frames; only the middle one was graded.")
        middle = facts.frames // 2
        image = _shown(stored[middle], clean, middle)
        grade = _graded(stored[middle], image, told)
        status, evidence = findings.apply(image, self.readers)
        content = to_file(clean)
        details: dict[str, Any] = {
            "quality": grade.model_dump(),
            "deidentification": account.model_dump(),
            "image": facts.model_dump(mode="json"),
            "findings_status": status.model_dump(),
            "evidence": evidence.model_dump(mode="json") if evidence is not None else None,
        }
        row = MedicalInstance(
            instance_id=f"in_{secrets.token_hex(8)}",
            series_uid=clean.SeriesInstanceUID,
            sop_instance_uid=clean.SOPInstanceUID,
            instance_number=_whole(clean, "InstanceNumber"),
            quality_verdict=grade.verdict,
            details=details,
            num_bytes=len(content),
            dicom=content,
            dicom_sha256=hashlib.sha256(content).hexdigest(),
            received_at=datetime.now(UTC),
        )
        return Prepared(row, clean, facts, status, evidence, grade)

    def store(
        self, ready: Prepared, context: Context, *, decide: Callable[[Session], None] | None = None
    ) -> tuple[Any, str, str | None]:
        """(status, id, study id) of a prepared object, stored with draft and audit row in one transaction.

        The draft is worded before it: no transaction waits for a language model. If the draft has changed meanwhile,
        it is planned anew.

        Args:
            decide: Ends the wait of a held object, in the same transaction.
        """
        row = ready.row
        for _ in range(_TRIES):
            with self.sessions() as session:
                known = _known(session, row.tenant, row.sop_instance_uid, row.source_mac)
                if known and (decide is None or known[0] != "held"):
                    return known
                study = _study_of(session, ready)
                plan = drafting.first(ready.read) if study is None else drafting.again(session, study, ready.read)
            said = language.write(plan.evidence, self.model) if plan else language.NOTHING_SAID
            with self.sessions() as session:
                try:
                    study_id = self._add(session, ready, plan, said, context)
                    if decide is not None:
                        decide(session)
                    session.commit()
                except (IntegrityError, _Changed):  # the same object, or another one of its study, at the same moment
                    continue
                return "stored", row.instance_id, study_id
        raise Conflict("the study is being changed by others", field=name("StudyInstanceUID"), remedy="Send it again.")

    def _hold(self, held: MedicalHeld, context: Context) -> tuple[Any, str, str | None]:
        """(status, id, study id) of an object that waits for a person, or that came twice at once."""
        tenant, held_id, sop_uid, mac = held.tenant, held.held_id, held.sop_instance_uid, held.source_mac
        outcome = {"modality": held.modality, "places": len(held.places), "dicom_sha256": held.dicom_sha256}
        try:
            with self.sessions.begin() as session:
                session.add(held)
                session.flush()
                context.record(
                    Decision("medical.hold", held_id, mac, outcome, self.reader.version, POLICY), session=session
                )
        except IntegrityError:
            with self.sessions() as session:
                known = _known(session, tenant, sop_uid, mac)
            assert known is not None, "a held object is never deleted"
            return known
        return "held", held_id, None

    def _add(
        self, session: Session, ready: Prepared, plan: drafting.Plan | None, said: language.Draft, context: Context
    ) -> str:
        row, kept = ready.row, tables.MedicalStudy
        hold(session, kept, kept.tenant == row.tenant, kept.study_uid == ready.header.StudyInstanceUID)
        study = _study_of(session, ready)
        if study is not None and plan is not None and plan.before is None:
            raise _Changed
        if study is None:
            study = _new_study(session, ready)
        else:
            self._check_fits(session, study, ready)
            study.quality_verdict = max(study.quality_verdict, ready.grade.verdict, key=_WORST.index)
        drafted = drafting.store(session, study, plan, said) if plan else None
        ready.row.study_id = study.study_id
        _join_series(session, study, ready)
        session.add(ready.row)
        outcome = {
            "modality": ready.header.Modality,
            "origin": ready.row.origin,
            "quality": ready.grade.verdict,
            "findings": ready.status.status,
            "instance_id": ready.row.instance_id,
            "dicom_sha256": ready.row.dicom_sha256,
        }
        if drafted is not None:
            version = {"report_id": drafted.report_id, "report_version": drafted.version}
            outcome |= {**version, "written_by": said.written_by}
        model = ready.status.model or "no findings model"
        context.record(
            Decision("medical.ingest", study.study_id, ready.row.source_mac, outcome, model, POLICY), session=session
        )
        return study.study_id

    def _check_fits(self, session: Session, study: tables.MedicalStudy, ready: Prepared) -> None:
        if study.patient != ready.header.PatientID:
            raise Conflict(
                "must be the patient of the study's other objects (PS3.3 A.1.2.2)",
                field=name("PatientID"),
                value=study.study_id,
            )
        total = study_bytes(session, study.tenant, study.study_id) + ready.row.num_bytes
        if total > self.max_study_bytes:
            raise TooLarge(
                f"a study may hold {self.max_study_bytes // 2**20} MiB of images (TRIVIUM_MAX_STUDY_MB)",
                field=name("StudyInstanceUID"),
                value=study.study_id,
            )


def _known(session: Session, tenant: str, sop_uid: str, mac: str) -> tuple[Any, str, str | None] | None:
    """(status, id, study id) of an object that was sent before."""
    row = MedicalInstance
    waiting = session.execute(  # first: a release meanwhile makes it stored
        select(MedicalHeld).where(MedicalHeld.tenant == tenant, MedicalHeld.sop_instance_uid == sop_uid)
    ).scalar_one_or_none()
    stored = session.execute(
        select(row).where(row.tenant == tenant, row.sop_instance_uid == sop_uid)
    ).scalar_one_or_none()
    earlier = stored or waiting
    if earlier is None:
        return None
    if earlier.source_mac != mac:
        raise Conflict(
            "a different object with the same UID is stored already (PS3.5 9)",
            field=name("SOPInstanceUID"),
            value=stored.study_id if stored else waiting.held_id if waiting else None,
            remedy="Send a changed object under a new SOP Instance UID.",
        )
    if stored is not None:
        return "already present", stored.instance_id, stored.study_id
    assert waiting is not None
    if waiting.state == "discarded":
        raise Conflict("a person has discarded the object", field=name("SOPInstanceUID"), value=waiting.held_id)
    return "held", waiting.held_id, None


def _held(clean: Dataset, account: schemas.Deidentification, found: burned_in.Search, told: list[str]) -> MedicalHeld:
    content = to_file(clean)
    if found.declared:
        said = f"{name('BurnedInAnnotation')}: is YES"
    else:
        said = f"{name('PixelData')}: text was found in the pixels"
    return MedicalHeld(
        held_id=f"hd_{secrets.token_hex(8)}",
        sop_instance_uid=clean.SOPInstanceUID,
        modality=clean.Modality,
        reason=f"{said}: it may identify the patient (PS3.3 C.7.6.1, PS3.15 E.1.1)",
        places=[place.model_dump() for place in found.places],
        details={"deidentification": account.model_dump(), "told": told, "frames": num_frames(clean)},
        state="held",
        dicom=content,
        dicom_sha256=hashlib.sha256(content).hexdigest(),
        received_at=datetime.now(UTC),
    )


def _graded(stored: geometry.Array, image: findings.Image, told: list[str]) -> schemas.Quality:
    if image.colour is not None:
        return grade_photograph(image.colour, warnings=told)
    inverted = image.header.PhotometricInterpretation == "MONOCHROME1"
    return quality.assess(stored, image.modality, inverted=inverted, warnings=told, defects=defects_of(image))


def _shown(stored: geometry.Array, clean: Dataset, index: int) -> findings.Image:
    """A frame, from 0, as a findings model sees it; of a photograph the green channel is its grey."""
    shades = geometry.render(stored, frame_header(clean, index))
    if colour.is_colour(clean):
        return findings.Image(shades[..., 1], clean, index + 1, colour=shades)
    return findings.Image(shades, clean, index + 1)


def _whole(dataset: Dataset, keyword: str) -> int | None:
    """A number in the range of the database's, else None."""
    value = dataset.get(keyword)
    return int(value) if isinstance(value, int) and abs(value) < 2**31 else None


def _study_of(session: Session, ready: Prepared) -> tables.MedicalStudy | None:
    study = tables.MedicalStudy
    return session.execute(
        select(study).where(study.tenant == ready.row.tenant, study.study_uid == ready.header.StudyInstanceUID)
    ).scalar_one_or_none()


def _new_study(session: Session, ready: Prepared) -> tables.MedicalStudy:
    row, header = ready.row, ready.header
    study = tables.MedicalStudy(
        study_id=f"st_{secrets.token_hex(8)}",
        tenant=row.tenant,
        study_uid=header.StudyInstanceUID,
        patient=header.PatientID,
        study_date=header.StudyDate or "",
        origin=row.origin,
        modality=header.Modality,
        body_part=body_part(header),
        quality_verdict=ready.grade.verdict,
        drafted_from=row.instance_id,
        received_at=row.received_at,
    )
    session.add(study)
    session.flush()
    return study


def _join_series(session: Session, study: tables.MedicalStudy, ready: Prepared) -> None:
    """Make the object's series, or check that it is of this study and modality."""
    header = ready.header
    series = session.get(MedicalSeries, (study.tenant, ready.row.series_uid))
    if series is None:
        session.add(
            MedicalSeries(
                tenant=study.tenant,
                series_uid=ready.row.series_uid,
                study_id=study.study_id,
                modality=header.Modality,
                body_part=body_part(header),
                series_number=_whole(header, "SeriesNumber"),
            )
        )
        return
    if series.study_id != study.study_id:
        rule = "must be of one study (PS3.3 A.1.2.3)"
        raise Conflict(rule, field=name("SeriesInstanceUID"), value=series.study_id)
    if series.modality != header.Modality:
        rule = f"must be {series.modality}, as in the series' other objects (PS3.3 A.1.2.3)"
        raise Conflict(rule, field=name("Modality"), value=header.Modality)
