"""Consent to having tone read from voice or face, and a message with such a signal. Ignores who reads it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from verticals.contract import UploadedFile
from verticals.support.schemas.base import Identifier, Strict
from verticals.support.schemas.sessions import SendMessageRequest
from verticals.support.schemas.understanding import Modality


class Consent(BaseModel):
    """A recorded yes; it holds from `given_at` until `withdrawn_at`, and still does if that is missing."""

    modality: Modality
    wording_version: str
    given_at: datetime
    withdrawn_at: datetime | None


class ConsentWording(BaseModel):
    """What a customer agrees to: show them `text`, and give the consent with its `version`."""

    modality: Modality
    version: str
    text: str


class ListConsentsRequest(Strict):
    """Nothing to say: the customer comes from the key."""


class ConsentPage(BaseModel):
    """All consents of one customer, withdrawn ones too, the oldest first; and the wordings of today."""

    consents: list[Consent]
    wordings: list[ConsentWording]


class ConsentRequest(Strict):
    """Which kind of signal."""

    modality: Modality


class GiveConsentRequest(ConsentRequest):
    """A yes to the wording of this version, which the customer has read."""

    wording_version: Identifier


class SendSignalRequest(SendMessageRequest):
    """The customer's next message with a recording of their voice or a picture of their face."""

    modality: Modality
    signal: UploadedFile
