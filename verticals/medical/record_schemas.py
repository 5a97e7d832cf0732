"""What is asked of a patient's record, and what it says. Ignores how it is read.

Research software, not a medical device.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from verticals.medical.schemas import Answer, Request
from verticals.medical.vocabulary import Code


class RecordRequest(Request):
    """A patient's record, plain text or a FHIR R4 Bundle as JSON, to be read for the indication; none of it is kept.

    `patient_id` is the Patient ID (0010,0020) that the study's file had; a record of another patient is refused.
    """

    study_id: str = Field(max_length=64)
    patient_id: str = Field(min_length=1, max_length=64)
    record: str = Field(min_length=1, max_length=500_000)


class RecordFact(BaseModel):
    """A problem or a medicine in the words of the record.

    `is_history`: over, or told as of the past. `codes` are those of the vocabulary's kind that the words name, and of
    no other terminology; most problems have none.
    """

    kind: Literal["problem", "medicine"]
    text: str
    presence: Literal["present", "absent", "uncertain"]
    is_history: bool
    codes: tuple[Code, ...] = ()


class RecordResponse(Answer):
    """What a record says, and a paragraph for the report that a person may take over; it is stored nowhere."""

    problems: list[RecordFact]
    medicines: list[RecordFact]
    indication: str
