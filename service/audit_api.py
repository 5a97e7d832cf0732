"""`/v1/audit`: the tenant's trail over HTTP: verify, read, replay, export, erase. Ignores how that is done."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from service.audit_check import kept_heads
from service.audit_files import FORMATS, export
from service.audit_read import AuditFilter, find, in_utc
from service.audit_replay import replay_entry
from service.audit_retention import erase
from service.callers import Authenticated, kit_of
from service.problems import request_id_of
from service.routes import as_download
from verticals.contract import NotFound

router = APIRouter(prefix="/v1/audit", tags=["service"])

Sequence = Annotated[int, Path(ge=1, description="The entry's number in the tenant's chain.")]


class ReplayRequest(BaseModel):
    """What the trail does not have."""

    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any] | None = Field(None, description="The application, or the messages, given again.")


class ErasureRequest(BaseModel):
    """Whose payloads are to go."""

    model_config = ConfigDict(extra="forbid")

    names: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        min_length=1, max_length=100, description="Ids of one person or case: customer, application, study, report, ..."
    )
    customer: bool = Field(False, description="The names are customers: what their own keys did goes too.")
    reason: str = Field(min_length=1, max_length=200, description="For the trail; nothing of the person.")


def _only(
    kind: Annotated[str, Query(max_length=64, description="finance.score, or all of an area: finance.*")] = "",
    actor: Annotated[str, Query(max_length=255)] = "",
    subject: Annotated[str, Query(max_length=128)] = "",
    outcome: Annotated[str, Query(max_length=128, description="A text in the entry's payload.")] = "",
    since: Annotated[datetime | None, Query(description="Without a zone: UTC.")] = None,
    until: Annotated[datetime | None, Query(description="Before this moment.")] = None,
) -> AuditFilter:
    return AuditFilter(kind, actor, subject, outcome, since=in_utc(since), until=in_utc(until))


Only = Annotated[AuditFilter, Depends(_only)]


@router.get("/verify", summary="Recompute this tenant's audit chain")
def verify(request: Request, caller: Authenticated) -> dict[str, Any]:
    """Also against the heads that the nightly kept."""
    caller.require("audit.verify")
    kit = kit_of(request)
    return asdict(kit.audit.verify(caller.tenant, heads=[*kept_heads(kit.settings.reports, caller.tenant)]))


@router.get("/entries", summary="This tenant's decisions, newest first")
def entries(
    request: Request,
    caller: Authenticated,
    only: Only,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, description="Entries with lower numbers: the next page.")] = None,
) -> list[dict[str, Any]]:
    """A page."""
    caller.require("audit.read")
    return kit_of(request).audit.entries(caller.tenant, limit=limit, before=before, only=only)


@router.get("/entries/{sequence}", summary="One entry in full")
def entry(sequence: Sequence, request: Request, caller: Authenticated) -> dict[str, Any]:
    """As it was recorded; of an erased one, what is left."""
    caller.require("audit.read")
    with kit_of(request).sessions() as session:
        found = find(session, caller.tenant, sequence)
    if found is None:
        raise NotFound("no such entry", field="sequence", value=sequence)
    return found[1]


@router.post("/entries/{sequence}/replay", summary="Make a recorded decision again")
def replay(sequence: Sequence, asked: ReplayRequest, request: Request, caller: Authenticated) -> dict[str, Any]:
    """Nothing is decided or recorded; the answer says what was made again, and where it differs."""
    caller.require("audit.replay")
    kit = kit_of(request)
    found = replay_entry(
        kit.registry, kit.sessions, kit.verticals, tenant=caller.tenant, sequence=sequence, given=asked.input
    )
    return asdict(found)


@router.get(
    "/export",
    summary="The trail as a file: CSV, JSON lines, or FHIR R4 AuditEvents",
    response_class=StreamingResponse,
    responses={200: {"content": {form.media_type.partition(";")[0]: {} for form in FORMATS.values()}}},
    response_model=None,
)
def export_trail(
    request: Request,
    caller: Authenticated,
    only: Only,
    form: Annotated[Literal["csv", "jsonl", "fhir"], Query(alias="format")] = "csv",
) -> StreamingResponse:
    """Streams; that it was exported, by whom and what, is an entry itself."""
    caller.require("audit.export")
    who = caller.who(request_id_of(request))
    made = export(kit_of(request).audit, caller.tenant, form=form, only=only, who=who)
    return StreamingResponse(made.chunks, media_type=made.media_type, headers=as_download(made))


@router.post("/erasures", summary="Erase what the trail says of a person or case")
def erase_payloads(asked: ErasureRequest, request: Request, caller: Authenticated) -> dict[str, int]:
    """The chain stays whole: hashes stay, subject, fingerprint and outcome go. Needs a key that names `audit.erase`."""
    caller.require_operator("audit.erase")
    done = erase(
        kit_of(request).audit,
        caller.tenant,
        names=asked.names,
        reason=asked.reason,
        customer=asked.customer,
        who=caller.who(request_id_of(request)),
    )
    return asdict(done)
