"""The operation that reads a patient's record for a report's indication. Ignores how texts are read.

Nothing of the record is stored or audited but its hash, and nothing is put into the report: a person takes it over.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Context, Decision, InvalidInput, Unavailable
from verticals.medical import record_schemas, tables
from verticals.medical.deidentify import Pseudonyms

if TYPE_CHECKING:
    from verticals.medical.text.entities import EntityTagger


@dataclass
class Records:
    """Reads records; the tagger is loaded with the first, over the encoder of `encoder_dir` if it is one it knows."""

    sessions: sessionmaker[Session]
    encoder_dir: Path | None

    def read_record(self, request: record_schemas.RecordRequest, context: Context) -> record_schemas.RecordResponse:
        """Problems and medicines of the study's own patient."""
        from verticals.medical.text.record import indication, read_record

        pseudonyms = Pseudonyms(tables.tenant_key(self.sessions, context.tenant))
        with self.sessions() as session:
            study = tables.get_study(session, context.tenant, request.study_id)
            if pseudonyms.patient(request.patient_id, "") != study.patient:
                raise InvalidInput(
                    "is not the patient of the study",
                    field="patient_id",
                    remedy="Send the Patient ID (0010,0020) that the study's file had.",
                )
            facts = read_record(
                request.record,
                patient_id=request.patient_id,
                read_entities=lambda sentence: self._tagger.read(sentence),  # loaded only for prose
            )
            outcome = {"problems": sum(f.kind == "problem" for f in facts), "facts": len(facts)}
            sha256 = hashlib.sha256(request.record.encode()).hexdigest()
            model = str(self._tagger.card["version"]) if "_tagger" in vars(self) else "no entity model"
            context.record(Decision("medical.record", request.study_id, sha256, outcome, model), session=session)
            session.commit()
        told = [record_schemas.RecordFact.model_validate(fact, from_attributes=True) for fact in facts]
        return record_schemas.RecordResponse(
            problems=[fact for fact in told if fact.kind == "problem"],
            medicines=[fact for fact in told if fact.kind == "medicine"],
            indication=indication(facts),
        )

    @cached_property
    def _tagger(self) -> EntityTagger:
        from verticals.medical.text.entities import open_tagger

        try:
            return open_tagger(self.encoder_dir)
        except ValueError as error:
            raise Unavailable(str(error), field="entities") from error
