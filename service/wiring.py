"""Builds the kit from settings: the one place where parts are chosen and joined. Ignores HTTP and the command line."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, cast

from service.audit import AuditLog
from service.auth import KeyRing
from service.core_versions import CORE
from service.customer_records import customer_records
from service.discovery import discover
from service.following import open_rollouts
from service.kit import Kit
from service.registry import FileRegistry
from service.scope import carry_trace, observe_generation
from service.settings import Settings
from service.storage import make_sessions, migrate, open_database
from service.tracing import TracedSearch, open_tracing
from service.webhooks.events import event_outbox
from verticals.contract import Progress, Resources, Unavailable

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session, sessionmaker

    from core_model.generation import TextEngine
    from core_model.replicas import Replicas
    from retrieval.embed import Embedder
    from retrieval.store import KnowledgeBase
    from retrieval.vectors import VectorIndexes
    from service.live_core import LiveCore
    from service.oidc import TokenVerifier

DEMO_TENANT = "demo"
KEEP_FREE_BYTES = 256 * 2**20  # of main memory, beside both models of a swap: for caches and answers


def build(settings: Settings, *, on_progress: Progress) -> Kit:
    """Bring everything up: schema, model, indexes, the verticals and (unless switched off) their demo models and data.

    Each step is skipped when its result is there and sound, so this is both the first start and every later one.

    Raises:
        Unavailable: a model's package is missing or its files are damaged.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    migrate(settings.sqlalchemy_url)
    database = open_database(settings.sqlalchemy_url)
    sessions = make_sessions(database)
    registry = FileRegistry(settings.home / "registry")
    engine, chat_model, core, close_engine = _open_engine(settings, registry, on_progress)
    knowledge = _open_knowledge(settings, sessions, database)
    tracing = open_tracing(settings.otlp_url, version=version_of("trivium")) if settings.otlp_url else None
    resources = Resources(
        engine=engine,
        chat_model=chat_model,
        retriever=cast("KnowledgeBase", TracedSearch(knowledge)) if tracing else knowledge,
        registry=registry,
        sessions=sessions,
        data_dir=settings.data,
        records=customer_records(sessions),
        max_study_bytes=settings.max_study_mb * 2**20,
        encoder_dir=settings.encoder,
    )
    verticals = discover()
    if settings.demo:
        for vertical in verticals.values():
            vertical.demo(resources, on_progress)
    audit = AuditLog(sessions, on_append=event_outbox(settings, sessions))
    rollouts, handlers = open_rollouts(verticals, resources, registry, audit, core)
    tokens = open_tokens(settings)

    def close() -> None:
        close_engine()
        knowledge.close()
        if tokens is not None:
            tokens.close()
        if tracing:
            tracing.close()
        database.dispose()

    return Kit(
        settings=settings,
        database=database,
        sessions=sessions,
        audit=audit,
        keys=KeyRing(sessions),
        registry=registry,
        resources=resources,
        verticals=verticals,
        handlers=handlers,
        rollouts=rollouts,
        models=core.pool if core else None,
        tokens=tokens,
        close=close,
        tracing=tracing,
    )


def open_tokens(settings: Settings) -> TokenVerifier | None:
    """What checks people's tokens; None without an issuer.

    Raises:
        Unavailable: the file of its certificates cannot be read.
    """
    if not settings.oidc_issuer:
        return None
    from service.oidc import SigningKeys, TokenVerifier

    try:
        keys = SigningKeys(settings.oidc_issuer, settings.oidc_jwks_url, ca=settings.oidc_ca)
    except OSError as error:  # also what is no certificate
        raise Unavailable(
            f"names no file of certificates: {type(error).__name__}",
            field="TRIVIUM_OIDC_CA",
            value=settings.oidc_ca,
            remedy="Name a PEM file that this user can read, or leave it out.",
        ) from error
    return TokenVerifier(settings, keys)


def _open_engine(
    settings: Settings, registry: FileRegistry, on_progress: Progress
) -> tuple[TextEngine, BaseChatModel, LiveCore | None, Callable[[], None]]:
    """The engine, the same as a chat model, the core in this process, and how to close it.

    A remote server fills its own chat template, so its chats go to `/chat/completions` and not through the engine.
    """
    if settings.engine == "openai":
        from core_model.openai_engine import OpenAIEngine

        replicas = _open_replicas(settings)
        chat_model = _remote_chat_model(settings, replicas)
        replicas.watch()
        remote = OpenAIEngine(replicas, settings.openai_model, timeout_s=settings.openai_timeout_s)
        return remote, chat_model, None, remote.close
    from core_model.chat_model import EngineChatModel
    from core_model.embedded import prepare_default_model
    from core_model.loading import load_engine
    from core_model.models import ModelPool
    from service.live_core import LiveCore, load_core

    models = settings.home / "models"
    pool = ModelPool(load_engine, keep_free_bytes=KEEP_FREE_BYTES, keep_previous=True)

    def start() -> Path:
        return settings.model or prepare_default_model(models, on_progress)

    options = {
        "device": settings.device,
        "precision": settings.precision,
        "use_kernels": settings.kernels,
        "max_batch": settings.max_batch,
    }
    try:
        version = load_core(pool, registry, models, start=start, observe=observe_generation, **options)
    except (ValueError, OSError) as error:
        remedy = "`trivium doctor` tells which part is missing."
        raise Unavailable(str(error), field="TRIVIUM_MODEL" if settings.model else "model", remedy=remedy) from error
    try:
        for name, adapter in settings.adapter_folders.items():
            pool.load_adapter(CORE, name, adapter)
    except ValueError as error:
        pool.close()
        raise Unavailable(
            str(error), field="TRIVIUM_ADAPTERS", remedy="Correct the folder, or leave it out."
        ) from error
    engine = pool.engine(CORE)
    core = LiveCore(pool, registry, models, start=start, version=version)
    return engine, EngineChatModel(engine=engine), core, pool.close


def _open_replicas(settings: Settings) -> Replicas:
    from core_model.replicas import Replicas

    try:
        key = settings.openai_api_key.get_secret_value()
        return Replicas(settings.openai_base_urls, api_key=key, on_request=carry_trace)
    except ValueError as error:
        raise Unavailable(str(error), field="TRIVIUM_OPENAI_BASE_URL") from error


def _remote_chat_model(settings: Settings, replicas: Replicas) -> BaseChatModel:
    try:
        from service.remote_chat import RemoteChatModel
    except ImportError as error:
        raise Unavailable(
            "engine=openai needs the extra package langchain-openai",
            remedy="Install it: `pip install -c constraints.txt langchain-openai`.",
        ) from error
    return RemoteChatModel.over(replicas, settings.openai_model, timeout_s=settings.openai_timeout_s)


def open_embedder(settings: Settings) -> Embedder:
    """What turns texts into vectors.

    Raises:
        Unavailable: its package is missing.
    """
    from retrieval.embed import MiniLMEmbedder
    from retrieval.embed_multilingual import open_multilingual

    try:
        return open_multilingual() if settings.embedder == "multilingual" else MiniLMEmbedder()
    except ValueError as error:
        raise Unavailable(str(error), field="TRIVIUM_EMBEDDER") from error


def _open_knowledge(settings: Settings, sessions: sessionmaker[Session], database: Engine) -> KnowledgeBase:
    from retrieval.store import KnowledgeBase

    return KnowledgeBase(
        sessions,
        embedder=open_embedder(settings),
        index_dir=settings.home / "indexes",
        vectors=_open_vectors(settings, database),
    )


def _open_vectors(settings: Settings, database: Engine) -> VectorIndexes | None:
    url = settings.vectors_url.get_secret_value()
    try:
        if settings.vectors == "pgvector":
            from retrieval.pgvector import PgVectorIndexes

            return PgVectorIndexes(open_database(url) if url else database)
        if settings.vectors == "qdrant":
            from retrieval.qdrant import QdrantIndexes

            return QdrantIndexes(url, api_key=settings.vectors_key.get_secret_value())
    except ValueError as error:
        raise Unavailable(str(error), field="TRIVIUM_VECTORS") from error
    return None
