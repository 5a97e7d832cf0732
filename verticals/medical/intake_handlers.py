"""The operations around receiving: several files, refusals, and what waits for a person. Ignores HTTP."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom import dcmread
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from verticals.contract import Artifact, Conflict, Context, Decision, Handler, InvalidInput
from verticals.medical import archives, geometry
from verticals.medical import intake_schemas as schemas
from verticals.medical.burned_in import masked
from verticals.medical.deidentify import declare_pixels_clean
from verticals.medical.frames import num_frames
from verticals.medical.instance_tables import MedicalHeld, MedicalRefusal, get_held, read_dataset
from verticals.medical.intake import POLICY, Intake
from verticals.medical.receiving.queue import Queue
from verticals.medical.schemas import Deidentification
from verticals.undisturbed import hold


def handlers(intake: Intake) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    desk = _IntakeDesk(intake)
    return {
        "ingest_files": desk.ingest_files,
        "list_refusals": desk.list_refusals,
        "list_held": desk.list_held,
        "show_held": desk.show_held,
        "release_held": desk.release_held,
        "discard_held": desk.discard_held,
    }


@dataclass(frozen=True)
class _IntakeDesk:
    """Where several objects arrive, and where a person decides about those that wait."""

    intake: Intake

    def ingest_files(self, request: schemas.IngestFilesRequest, context: Context) -> schemas.IngestFilesResponse:
        """Every object of every file, each in its own transaction."""
        queue = Queue(self.intake)
        return queue.take_all(
            archives.objects_of(request.files),
            source=request.source,
            origin=request.origin,
            context=context,
            study_uid=request.study_uid,
        )

    def list_refusals(self, request: schemas.PageRequest, context: Context) -> schemas.RefusalsResponse:
        """What did not arrive, and why."""
        row = MedicalRefusal
        with self.intake.sessions() as session:
            mine = select(row).where(row.tenant == context.tenant)
            newest = mine.order_by(row.received_at.desc(), row.refusal_id).limit(request.limit).offset(request.offset)
            rows = session.execute(newest).scalars().all()
            total = session.execute(select(func.count()).select_from(mine.subquery())).scalar_one()
        refusals = [schemas.Refusal.model_validate(row, from_attributes=True) for row in rows]
        return schemas.RefusalsResponse(refusals=refusals, total=total)

    def list_held(self, request: schemas.PageRequest, context: Context) -> schemas.HeldResponse:
        """What waits for a person first, then what was decided."""
        row = MedicalHeld
        with self.intake.sessions() as session:
            mine = select(row).where(row.tenant == context.tenant)
            newest = mine.order_by((row.state != "held"), row.received_at.desc(), row.held_id)
            rows = session.execute(newest.limit(request.limit).offset(request.offset)).scalars().all()
            total = session.execute(select(func.count()).select_from(mine.subquery())).scalar_one()
        objects = [_told(row) for row in rows]
        return schemas.HeldResponse(objects=objects, total=total)

    def show_held(self, request: schemas.HeldImageRequest, context: Context) -> Artifact:
        """One frame as it is; that somebody looked is recorded."""
        with self.intake.sessions() as session:
            held = _waiting(session, context.tenant, request.held_id)
            dataset = read_dataset(held)
            png = geometry.to_png(geometry.render(*geometry.stored_frame(dataset, request.frame)))
            _record(session, context, "medical.show_held", held, {"frame": request.frame})
            session.commit()
        return Artifact(png, "image/png", f"{request.held_id}-{request.frame}.png")

    def release_held(self, request: schemas.ReleaseRequest, context: Context) -> schemas.ObjectOutcome:
        """Mask what the person marked, and take the object in."""
        if not request.attest:
            raise InvalidInput("must be true: you have looked at every frame", field="attest", value=False)
        with self.intake.sessions() as session:
            held = _waiting(session, context.tenant, request.held_id)
            dataset, told = read_dataset(held), list(held.details["told"])
            account = Deidentification.model_validate(held.details["deidentification"])
        done = f"A person looked at every frame and masked {len(request.masks)} region(s)."
        account.warnings.append(done)
        declare_pixels_clean(dataset)
        stored = masked(geometry.stored_frames(dataset), request.masks)
        data = stored.tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        ready = self.intake.prepare(stored, dataset, account, told=told)
        ready.row.tenant, ready.row.source_mac, ready.row.origin = held.tenant, held.source_mac, held.origin
        state = "masked" if request.masks else "released"

        def decide(session: Session) -> None:
            outcome = {"state": state, "masks": len(request.masks)}
            _decide(session, context, held.held_id, name=request.name, outcome=outcome)

        status, instance_id, study_id = self.intake.store(ready, context, decide=decide)
        return schemas.ObjectOutcome(number=1, status=status, id=instance_id, study_id=study_id)

    def discard_held(self, request: schemas.DiscardRequest, context: Context) -> schemas.HeldObject:
        """Delete the pixels."""
        with self.intake.sessions() as session:
            outcome = {"state": "discarded", "reason": request.reason}
            held = _decide(session, context, request.held_id, name=request.name, outcome=outcome)
            held.details = held.details | {"discarded_because": request.reason}
            session.commit()
            return _told(held)


def _told(held: MedicalHeld) -> schemas.HeldObject:
    """What is said of a held object: rule and places, nothing that its header or pixels hold."""
    known = {name: getattr(held, name) for name in schemas.HeldObject.model_fields if hasattr(held, name)}
    if "frames" not in held.details:  # held before they were counted
        known["frames"] = num_frames(dcmread(io.BytesIO(held.dicom))) if held.dicom else 1
    return schemas.HeldObject.model_validate(known | held.details)


def _waiting(session: Session, tenant: str, held_id: str) -> MedicalHeld:
    held = get_held(session, tenant, held_id)
    if held.state != "held":
        raise Conflict(f"somebody has decided already: {held.state}", field="held_id", value=held_id)
    return held


def _decide(session: Session, context: Context, held_id: str, *, name: str, outcome: Mapping[str, Any]) -> MedicalHeld:
    hold(session, MedicalHeld, MedicalHeld.tenant == context.tenant, MedicalHeld.held_id == held_id)
    held = _waiting(session, context.tenant, held_id)
    held.state, held.decided_by, held.decided_at = outcome["state"], name, datetime.now(UTC)
    held.dicom = b""  # what was masked must not stay behind
    _record(session, context, "medical.decide_held", held, outcome)
    return held


def _record(session: Session, context: Context, kind: str, held: MedicalHeld, outcome: Mapping[str, Any]) -> None:
    made = {**outcome, "dicom_sha256": held.dicom_sha256}
    context.record(Decision(kind, held.held_id, held.source_mac, made, "a person", POLICY), session=session)
