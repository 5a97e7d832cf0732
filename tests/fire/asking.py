"""What customers of the three verticals ask, and what they were told. Ignores what becomes of the server."""

from __future__ import annotations

import io
import json
import uuid
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from pydicom import dcmread
from pydicom.uid import generate_uid

from benchmarks.finance_setting import random_applications
from verticals.medical.probes import PYDICOM_FILES, pydicom_file, to_bytes
from verticals.medical.report import BLANK

QUESTIONS = (
    "How long can I return a lamp?",
    "What does shipping cost?",
    "Can I change my order?",
    "Do you ship to Canada?",
)


@dataclass
class Told:
    """What was acknowledged: a 2xx that was read to its end. Names are of this program's own making where it can."""

    decisions: set[str] = field(default_factory=set)  # application_id
    keyed: dict[str, str] = field(default_factory=dict)  # application_id -> Idempotency-Key, acknowledged or not
    studies: set[str] = field(default_factory=set)
    signed: set[str] = field(default_factory=set)  # report_id
    messages: dict[str, str] = field(default_factory=dict)  # what a customer said, of its own words -> session_id
    answered: set[str] = field(default_factory=set)  # session_id
    errors: list[str] = field(default_factory=list)  # answers that are neither 2xx nor a refusal with Retry-After

    def count(self) -> int:
        """Of all that was acknowledged."""
        return sum(map(len, (self.decisions, self.studies, self.signed, self.messages, self.answered)))


class Customer:
    """Asks one thing at a time over one client."""

    def __init__(self, http: httpx.AsyncClient, told: Told) -> None:
        self._http, self.told = http, told

    def _is_good(self, answer: httpx.Response) -> bool:
        if answer.is_success:
            return True
        shed = answer.status_code in (429, 503) and "retry-after" in answer.headers
        if not shed:
            self.told.errors.append(f"{answer.request.url.path} {answer.status_code} {answer.text[:200]}")
        return False

    async def score(self, *, keyed: bool = False) -> bool:
        """One decision, every other time under an idempotency key."""
        name = uuid.uuid4().hex
        if keyed:
            self.told.keyed[name] = name
        return await self.score_as(name, keyed=keyed)

    async def score_as(self, name: str, *, keyed: bool) -> bool:
        """One decision about the application of this name; whether it was acknowledged."""
        body = applications()[int(name[:4], 16) % len(applications())] | {"application_id": name}
        headers = {"Idempotency-Key": name} if keyed else {}
        if good := self._is_good(await self._http.post("/v1/finance/score", json=body, headers=headers)):
            self.told.decisions.add(name)
        return good

    async def read_study(self) -> bool:
        """One image, and the signature under its draft."""
        answer = await self._http.post("/v1/medical/studies", files={"file": ("image.dcm", a_study())})
        if not self._is_good(answer):
            return False
        study = answer.json()
        self.told.studies.add(study["study_id"])
        report = study["report"]
        version, path = report["version"], f"/v1/medical/reports/{report['report_id']}"
        sections = {name: text.replace(BLANK, "Nothing of note.") for name, text in report["sections"].items()}
        edited = await self._http.put(path, json={"sections": sections, "expected_version": version})
        if not self._is_good(edited):
            return False
        body = {"signer": "Dr. A. Reader", "attest": True, "expected_version": edited.json()["version"]}
        answer = await self._http.post(f"{path}/sign", json=body)
        if good := self._is_good(answer):
            self.told.signed.add(report["report_id"])
        return good

    async def talk(self) -> bool:
        """One session, one message, one streamed answer."""
        answer = await self._http.post("/v1/support/sessions", json={})
        if not self._is_good(answer):
            return False
        session, said = (
            answer.json()["session_id"],
            f"{QUESTIONS[uuid.uuid4().int % 4]} My reference is {uuid.uuid4().hex}.",
        )
        path = f"/v1/support/sessions/{session}/messages"
        async with self._http.stream(
            "POST", path, json={"content": said}, headers={"Idempotency-Key": uuid.uuid4().hex}
        ) as answer:
            if not answer.is_success:
                await answer.aread()
                return self._is_good(answer)
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    self.told.answered.add(session)
                    return True
                self.told.messages[said] = session  # an event came: the message was taken
                if (event := json.loads(line[6:])).get("type") == "error":
                    if event["error"].get("status") == 503:  # within a stream, too, it is a refusal
                        return False
                    self.told.errors.append(f"{path} {event['error'].get('detail')}")
                    return False
        return False


@cache
def applications() -> list[dict[str, Any]]:
    """Bodies that the schema accepts."""
    return [r.model_dump(mode="json", exclude={"application_id"}) for r in random_applications(200, seed=11)]


def a_study() -> bytes:
    """A small CT or MR image of a study of its own."""
    dataset = dcmread(io.BytesIO(pydicom_file(PYDICOM_FILES[uuid.uuid4().int % len(PYDICOM_FILES)])))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, name, generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return to_bytes(dataset)
