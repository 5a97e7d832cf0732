"""One queue for every way in: each object is taken, held or refused by itself, and the next one is never kept waiting.

A refusal is kept with its reason, so that somebody can see what did not arrive. Ignores transports.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError

from verticals.contract import Context, TriviumError, Unavailable
from verticals.medical import tables
from verticals.medical.deidentify import Pseudonyms
from verticals.medical.instance_tables import MedicalRefusal
from verticals.medical.intake import Intake
from verticals.medical.intake_schemas import IngestFilesResponse, ObjectOutcome, Source
from verticals.medical.part10 import sop_uids
from verticals.medical.schemas import Origin

_log = logging.getLogger(__name__)
_FAULT = "could not be taken in because of a fault in this program"


@dataclass(frozen=True)
class Queue:
    """Takes objects one after another."""

    intake: Intake

    def take_all(
        self,
        objects: Iterable[bytes | TriviumError],
        *,
        source: Source,
        origin: Origin,
        context: Context,
        study_uid: str = "",
    ) -> IngestFilesResponse:
        """Every object's outcome; what follows a bad one is taken all the same.

        Raises:
            Unavailable: the database is not there. Whole objects before that are stored.
        """
        outcomes = [
            self.take(each, source=source, origin=origin, context=context, number=number, study_uid=study_uid)
            for number, each in enumerate(objects, start=1)
        ]
        return summary(outcomes)

    def take(
        self,
        content: bytes | TriviumError,
        *,
        source: Source,
        origin: Origin,
        context: Context,
        number: int = 1,
        study_uid: str = "",
    ) -> ObjectOutcome:
        """One object's outcome; an error in place of its content is why it could not be read.

        Raises:
            Unavailable: the database is not there: that is not the object's fault.
        """
        try:
            return self._take(
                content, source=source, origin=origin, context=context, number=number, study_uid=study_uid
            )
        except (OperationalError, InterfaceError):
            raise Unavailable("the database is not there", remedy="Send the object again.") from None

    def _take(
        self,
        content: bytes | TriviumError,
        *,
        source: Source,
        origin: Origin,
        context: Context,
        number: int,
        study_uid: str,
    ) -> ObjectOutcome:
        if isinstance(content, TriviumError):
            return self._refused(b"", content, source=source, context=context, number=number)
        try:
            taken = self.intake.take(content, origin=origin, context=context, study_uid=study_uid)
        except (Unavailable, OperationalError, InterfaceError):
            raise
        except TriviumError as error:
            return self._refused(content, error, source=source, context=context, number=number)
        except Exception as error:  # noqa: BLE001 - one object must not stop the queue, whatever it does to us
            _log.error("%s: %s", _FAULT, type(error).__name__)  # its message may quote the object
            fault = TriviumError(f"{_FAULT} ({type(error).__name__})", field="file", remedy="Report it.")
            return self._refused(content, fault, source=source, context=context, number=number)
        return ObjectOutcome(
            number=number,
            status=taken.status,
            id=taken.id,
            study_id=taken.study_id,
            reason="waits for a person: the pixels may hold text" if taken.status == "held" else None,
            sop_class_uid=taken.sop_class_uid,
            sop_instance_uid=taken.sop_instance_uid,
        )

    def _refused(
        self, content: bytes, error: TriviumError, *, source: Source, context: Context, number: int
    ) -> ObjectOutcome:
        sop_class, sop_instance = sop_uids(content)
        return ObjectOutcome(
            number=number,
            status="refused",
            id=self._keep(content, str(error), source=source, context=context),
            reason=str(error),
            http_status=error.status,
            sop_class_uid=sop_class,
            sop_instance_uid=sop_instance,
        )

    def _keep(self, content: bytes, reason: str, *, source: Source, context: Context) -> str:
        """The refusal's id. The same object refused again for the same reason is one refusal, with a new time."""
        pseudonyms = Pseudonyms(tables.tenant_key(self.intake.sessions, context.tenant))
        mac = pseudonyms.mac("file", content).hex()
        row, now = MedicalRefusal, datetime.now(UTC)
        with self.intake.sessions() as session:
            known = session.execute(
                select(row).where(row.tenant == context.tenant, row.source_mac == mac, row.reason == reason).limit(1)
            ).scalar_one_or_none()
            if known is None:
                known = MedicalRefusal(
                    refusal_id=f"rf_{secrets.token_hex(8)}",
                    tenant=context.tenant,
                    source=source,
                    reason=reason,
                    source_mac=mac,
                )
                session.add(known)
            known.received_at = now
            session.commit()
            return known.refusal_id


def summary(outcomes: list[ObjectOutcome]) -> IngestFilesResponse:
    """The answer to several objects."""

    def count(status: str) -> int:
        return sum(outcome.status == status for outcome in outcomes)

    studies: Iterator[str] = (outcome.study_id for outcome in outcomes if outcome.study_id)
    return IngestFilesResponse(
        objects=outcomes,
        studies=list(dict.fromkeys(studies)),
        stored=count("stored"),
        already_present=count("already present"),
        held=count("held"),
        refused=count("refused"),
    )
