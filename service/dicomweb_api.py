"""`/v1/medical/dicomweb/studies`: STOW-RS (PS3.18 10.5). Ignores how an object is taken in.

Each part of the body is one object, stored, held or refused by itself before the next is read: no more than one is in
memory. A held object counts as stored: it is kept, and waits for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import Message
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from service import problems
from service.auth import Caller
from service.callers import Authenticated, kit_of
from verticals.contract import InvalidInput, UnsupportedMedia, UploadedFile

router = APIRouter(prefix="/v1/medical/dicomweb", tags=["medical"])
MAX_PART_BYTES = 64 * 2**20 + 1  # one more than a file may have, so that the vertical refuses it by its own rule
MEDIA_TYPE = "application/dicom+json"
# What an object alone would be answered -> its Failure Reason (PS3.18 Table 10.5.3-2, PS3.4 B.2.3, PS3.7 C).
REASONS = {409: 0x0111, 413: 0xA700, 415: 0x0122, 422: 0xC000}


@router.post("/studies", summary="Store DICOM objects (STOW-RS)")
async def store(request: Request, caller: Authenticated) -> JSONResponse:
    """multipart/related with parts of application/dicom; the answer lists what was stored and what failed."""
    return await _store(request, caller, study_uid="")


@router.post("/studies/{study_uid}", summary="Store DICOM objects of one study (STOW-RS)")
async def store_study(request: Request, caller: Authenticated, study_uid: str) -> JSONResponse:
    """As above; an object of another study fails."""
    return await _store(request, caller, study_uid=study_uid)


async def _store(request: Request, caller: Caller, *, study_uid: str) -> JSONResponse:
    caller.require("medical.ingest_files")
    parts = _Parts(_boundary(request.headers.get("content-type", "")))
    outcomes: list[Any] = []
    async for chunk in request.stream():
        for content in parts.feed(chunk):
            outcomes += await anyio.to_thread.run_sync(partial(_take, request, caller, content, study_uid))
    parts.end()
    if not outcomes:
        raise InvalidInput("must hold at least one part", field="body")
    stored = [each for each in outcomes if each.status != "refused"]
    failed = [each for each in outcomes if each.status == "refused"]
    status = 200 if not failed else 202 if stored else 409
    return JSONResponse(answer(stored, failed), status, media_type=MEDIA_TYPE)


def _take(request: Request, caller: Caller, content: bytes, study_uid: str) -> list[Any]:
    kit = kit_of(request)
    asked = kit.operation("medical", "ingest_files").request.model_validate(
        {"files": [UploadedFile(filename="part", content=content)], "source": "stow", "study_uid": study_uid}
    )
    made: Any = kit.invoke("medical", "ingest_files", asked, caller=caller, request_id=problems.request_id_of(request))
    return list(made.objects)


def answer(stored: Sequence[Any], failed: Sequence[Any]) -> dict[str, Any]:
    """The Store Instances Response Module in DICOM JSON (PS3.18 10.5.3, I.2)."""
    made: dict[str, Any] = {}
    if failed:
        items = [_item(each) | {"00081197": _us(REASONS.get(each.http_status, 0x0110))} for each in failed]
        made["00081198"] = {"vr": "SQ", "Value": items}
    if stored:
        made["00081199"] = {"vr": "SQ", "Value": [_item(each) for each in stored]}
    return made


def _item(outcome: Any) -> dict[str, Any]:
    """Which object: SOP class and instance as they were sent, where they could be read."""
    return {"00081150": _ui(outcome.sop_class_uid), "00081155": _ui(outcome.sop_instance_uid)}


def _ui(uid: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [uid]} if uid else {"vr": "UI"}


def _us(number: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [number]}


def _boundary(content_type: str) -> str:
    header = Message()
    header["content-type"] = content_type
    kind, boundary = header.get_param("type"), header.get_boundary()
    if header.get_content_type() != "multipart/related" or kind != "application/dicom" or not boundary:
        raise UnsupportedMedia(
            'must be multipart/related; type="application/dicom" with a boundary (PS3.18 8.7.3)', field="Content-Type"
        )
    return boundary


class _Parts:
    """Cuts a multipart body into its parts as it arrives."""

    def __init__(self, boundary: str) -> None:
        self._part = bytearray()
        self._whole: list[bytes] = []
        self._ended = False
        callbacks: Any = {"on_part_data": self._data, "on_part_end": self._end_part, "on_end": self._end_body}
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The parts that ended in this chunk.

        Raises:
            InvalidInput: the body is not well-formed.
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise InvalidInput("must be a well-formed multipart body (RFC 2046 5.1)", field="body") from None
        ended, self._whole = self._whole, []
        return ended

    def end(self) -> None:
        """Check that nothing is missing.

        Raises:
            InvalidInput: the body was cut short; the parts before that are stored.
        """
        if not self._ended:
            raise InvalidInput("was cut short: the closing boundary is missing (RFC 2046 5.1)", field="body")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part += data[start : min(end, start + MAX_PART_BYTES - len(self._part))]

    def _end_part(self) -> None:
        self._whole.append(bytes(self._part))
        self._part = bytearray()

    def _end_body(self) -> None:
        self._ended = True
