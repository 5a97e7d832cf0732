"""A kit on a fresh database with fakes for the models. Ignores which verticals it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from pydantic import SecretStr

from core_model.generation import SamplingParams, TextEngine, TokenChunk
from core_model.models import ModelPool
from service.audit import AuditLog
from service.auth import KeyRing
from service.customer_records import customer_records
from service.following import open_rollouts
from service.kit import Kit
from service.live_core import LiveCore
from service.registry import FileRegistry
from service.settings import Settings
from service.storage import make_sessions, open_database
from service.webhooks.events import event_outbox
from tests.databases import migrated_url
from verticals.contract import Resources, Vertical


class FakeEngine:
    """An engine that the API only asks for its version."""

    model_version = "fake-moe-1"

    def stream(self, prompt_ids: Sequence[int], params: SamplingParams) -> Iterator[TokenChunk]:
        yield TokenChunk((1,), "x", "stop")


def make_kit(
    home: Path,
    verticals: Mapping[str, Vertical],
    *,
    replies: Sequence[str] = ("hello there",),
    chat_model: BaseChatModel | None = None,
    engine: TextEngine | None = None,
    models: ModelPool | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Kit:
    """A kit on a fresh database with fakes for the models; `models` serves its "core"."""
    database_url = SecretStr(migrated_url(home))
    in_force = Settings(home=home, max_upload_mb=1, **{"database_url": database_url, **(settings or {})})
    database = open_database(in_force.sqlalchemy_url)
    sessions = make_sessions(database)
    registry = FileRegistry(home / "registry")
    fake: Any = GenericFakeChatModel(messages=iter(replies))
    resources = Resources(
        engine=models.engine("core") if models else engine or FakeEngine(),
        chat_model=chat_model or fake,
        retriever=None,
        registry=registry,
        sessions=sessions,
        data_dir=None,
        records=customer_records(sessions),
    )
    audit = AuditLog(sessions, on_append=event_outbox(in_force, sessions))
    core = None
    if models:
        start = models.folders("core")[0]
        core = LiveCore(models, registry, home / "models", start=lambda: start)
    rollouts, handlers = open_rollouts(verticals, resources, registry, audit, core)
    return Kit(
        settings=in_force,
        database=database,
        sessions=sessions,
        audit=audit,
        keys=KeyRing(sessions),
        registry=registry,
        resources=resources,
        verticals=verticals,
        handlers=handlers,
        rollouts=rollouts,
        close=database.dispose,
        models=models,
    )
