"""What a vertical is: named operations, the resources it is built from, and the errors it may raise.

Ignores HTTP, the command line and storage engines: one handler serves API, CLI, batch, evaluation and dashboard.

The exception tree (every user-facing failure is one of these; the API maps `status`, the CLI prints `str(error)`):

    TriviumError
    ├── InvalidInput       422  a field breaks a rule           (also a ValueError)
    ├── PermissionDenied   403  the key may not do this
    ├── NotFound           404  no such thing for this tenant
    ├── Conflict           409  the state forbids it            (e.g. a signed report is immutable)
    ├── TooLarge           413  over a stated limit
    ├── UnsupportedMedia   415  a file of a kind we do not read
    └── Unavailable        503  a model or store is not ready
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, PrivateAttr
from sqlalchemy import DateTime, Dialect
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from verticals.evaluation import Cases as Cases
from verticals.evaluation import Example as Example
from verticals.evaluation import Metric as Metric
from verticals.evaluation import Progress as Progress
from verticals.evaluation import Suite as Suite

if TYPE_CHECKING:  # LangChain takes a second to import; the command line and the pages only read schemas
    import numpy as np
    from langchain_core.language_models import BaseChatModel
    from numpy.typing import NDArray

    from core_model.generation import TextEngine
    from retrieval.documents import Hit
    from retrieval.store import KnowledgeBase
    from verticals.live import LiveModel
    from verticals.replaying import Replay
    from verticals.watched import Period, Watch

Method = Literal["GET", "POST", "PUT", "DELETE"]


class TriviumError(Exception):
    """A failure that its reader can act on: which field, what value, which rule, what to do.

    Never put personal data, patient data or prompt text into `value`; give an id, a type or a length instead.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, rule: str, *, field: str | None = None, value: object = None, remedy: str | None = None) -> None:
        rule = rule.removesuffix(".")  # often the text of another error
        self.field, self.value, self.rule, self.remedy = field, value, rule, remedy
        where = f"{field}: " if field else ""
        got = f" (got {value!r})" if value is not None else ""
        hint = f" {remedy}" if remedy else ""
        super().__init__(f"{where}{rule}{got}.{hint}")


class InvalidInput(TriviumError, ValueError):
    """A field breaks a rule."""

    status = 422
    title = "Invalid input"


class PermissionDenied(TriviumError):
    """The caller's key does not allow this operation."""

    status = 403
    title = "Permission denied"


class NotFound(TriviumError):
    """No such thing for this tenant (other tenants' things do not exist either)."""

    status = 404
    title = "Not found"


class Conflict(TriviumError):
    """The present state forbids the change."""

    status = 409
    title = "Conflict"


class TooLarge(TriviumError):
    """The input exceeds a stated limit."""

    status = 413
    title = "Too large"


class UnsupportedMedia(TriviumError):
    """The file is of a kind that is not read here."""

    status = 415
    title = "Unsupported media"


class Unavailable(TriviumError):
    """A model or a store that the operation needs is not ready."""

    status = 503
    title = "Unavailable"


class Base(DeclarativeBase):
    """Declarative base of every vertical's tables; each has a `tenant` column and its vertical's name as prefix."""


class Time(TypeDecorator[datetime]):
    """Type of a column that holds a time: aware of its zone, in UTC, on every engine (SQLite alone would drop it)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The same time in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The same time in UTC, with its zone."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Decision:
    """What the audit trail keeps of one decision: references and outcomes, never personal data or prompt text."""

    kind: str  # "finance.score", "medical.sign", "support.answer"
    subject: str  # an id: application, study, conversation
    input_sha256: str
    outcome: Mapping[str, Any]  # JSON-able: points, decision, status, cited ids
    model_version: str
    policy_version: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)  # name -> version of what answers; the service adds them


class Recorder(Protocol):
    """Appends decisions to the audit trail, durably, before the answer is acknowledged.

    Pass the vertical's own open `session` to commit the decision with the change that it describes.
    """

    def __call__(self, *decisions: Decision, session: Session | None = None) -> None: ...


@dataclass(frozen=True)
class Context:
    """Who asks. Tenant and customer come from the authenticated key, never from the request body."""

    tenant: str
    actor: str  # id of the key or person
    request_id: str
    record: Recorder
    customer: str | None = None  # whose key it is; None: the tenant's staff or system
    started_s: float = field(init=False, default_factory=perf_counter)  # when the request came
    answered_by: dict[str, str] = field(default_factory=dict, init=False, compare=False)  # models, by the service

    def subject(self, request: object, fields: Sequence[str]) -> str | None:
        """Whom a request is about: the customer whose key it is, or the first of `fields` that it has."""
        return self.customer or next((value for name in fields if (value := getattr(request, name, None))), None)


@dataclass(frozen=True)
class Artifact:
    """A file as an answer: DICOM, CSV, PDF. The API sends it raw; the CLI writes it."""

    content: bytes
    media_type: str
    filename: str


@dataclass(frozen=True)
class ArtifactStream:
    """A file as an answer that is sent as it is made, because it may be larger than memory.

    What is wrong with the request shows before the first chunk; later failures are written into the file itself.
    """

    chunks: Iterator[bytes]
    media_type: str
    filename: str


Handler = Callable[[Any, Context], BaseModel | Artifact | ArtifactStream | Iterator[BaseModel]]


@dataclass(frozen=True)
class Operation:
    """One thing a vertical can do.

    `path` is under `/v1/<vertical>`; `{names}` in it are fields of `request`. `GET` and `DELETE` read the other fields
    from the query, other methods from a JSON body; a request with a field of type `UploadedFile`, or a list of them, is
    multipart/form-data.
    `response` is the answer's model, the event model if `streaming`, or `Artifact`.
    """

    name: str
    request: type[BaseModel]
    response: type[BaseModel] | type[Artifact]
    summary: str
    path: str
    method: Method = "POST"
    streaming: bool = False
    streams_file: bool = False  # its `UploadedFile` is an `OpenFile`: read from where it lies, never held whole
    for_customers: bool = False  # whether a customer's key may call it; it then answers for that customer alone
    recorded: bool | None = None  # whether each call leaves an audit entry; None: all but GET do
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # name -> request body, shown in OpenAPI


class UploadedFile(BaseModel):
    """A file in a request."""

    filename: str
    content: bytes
    media_type: str = "application/octet-stream"

    def open(self) -> BinaryIO:
        """The content from its beginning."""
        return BytesIO(self.content)


class OpenFile(UploadedFile):
    """A file that may be larger than memory: `content` is empty, and `open` gives the file itself."""

    content: bytes = b""
    _source: BinaryIO = PrivateAttr()

    @classmethod
    def over(cls, source: BinaryIO, *, filename: str, media_type: str = "application/octet-stream") -> Self:
        """The rest of an open file, which stays the caller's to close."""
        made = cls(filename=filename, media_type=media_type)
        made._source = source
        return made

    def open(self) -> BinaryIO:
        """The file, once."""
        return self._source


@dataclass(frozen=True)
class ModelCard:
    """What a registered model is; written beside its files and into the database."""

    name: str  # "finance.scorecard"
    version: str  # "1-<first 12 of sha256>"
    sha256: str
    trained_on: str
    licence: str
    recipe: str
    metrics: Mapping[str, Any]
    limits: str
    parent: str | None = None  # the version of this name that was in force when it was registered
    data: Mapping[str, str] = field(default_factory=dict)  # what it was trained on -> SHA-256
    command: str = ""  # that makes it
    code: str = ""  # version of the program that made it
    registered_at: str = ""  # ISO 8601


class ModelRegistry(Protocol):
    """Versioned model files of this installation. No pickle: JSON, safetensors, LightGBM text."""

    def save(
        self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, activate: bool = True
    ) -> ModelCard:
        """Store `files` as a new version of `name`, atomically, and make it the active one unless told not to."""

    def load(self, name: str, version: str | None = None) -> tuple[ModelCard, Mapping[str, Path]] | None:
        """The active version or the one that is named, its sha256 verified; None when there is none.

        Raises:
            Unavailable: files differ from the card; of the active version: and of those before it.
        """


class Retriever(Protocol):
    """The part of `retrieval.store.KnowledgeBase` that a vertical needs."""

    def search(
        self,
        query: str,
        *,
        tenant: str,
        acl: Sequence[str] = (),
        k: int = 5,
        query_D: NDArray[np.float32] | None = None,
    ) -> list[Hit]:
        """The k best passages that `tenant` may see, best first; `query_D`, the query's vector, spares the model."""


class CustomerRecords(Protocol):
    """A store that holds what customers said or were told, and can show and erase it, one customer at a time."""

    @property
    def name(self) -> str:
        """What it holds, as the export names it."""

    def export(self, tenant: str, customer: str) -> list[dict[str, Any]]:
        """All that `erase` would erase, JSON-able."""

    def erase(self, tenant: str, customer: str) -> int:
        """Erase the customer's words; how many records had any. What the shop must keep, it keeps without them."""


@dataclass(frozen=True)
class Resources:
    """What `service.wiring` hands to every vertical's `build`."""

    engine: TextEngine  # in this process, or a remote server's
    chat_model: BaseChatModel  # the same model through LangChain's interface
    retriever: KnowledgeBase
    registry: ModelRegistry
    sessions: sessionmaker[Session]
    data_dir: Path | None  # TRIVIUM_DATA: optional development data, read-only
    records: tuple[CustomerRecords, ...] = ()  # the service's own, for who forgets a customer
    max_study_bytes: int = 4 * 2**30  # of one imaging study's stored objects together
    encoder_dir: Path | None = None  # TRIVIUM_ENCODER: reads short texts instead of the embedded MiniLM

    @property
    def model_version(self) -> str:
        """Of the model that serves now: it may be swapped, so ask at each use."""
        return self.engine.model_version


ContextOf = Callable[[str], Context]  # the service's own context for a tenant, when nobody asks


@dataclass(frozen=True)
class Vertical:
    """A profession: a folder in `verticals/` whose `__init__` defines `VERTICAL`."""

    name: str
    title: str
    summary: str
    operations: tuple[Operation, ...]
    build: Callable[[Resources], Mapping[str, Handler]]  # operation name -> handler
    evals: Callable[[Resources, Mapping[str, Handler]], Sequence[Suite]]
    demo: Callable[[Resources, Progress], None]  # prepares models and demo data; safe to run again
    # Finishes what a stopped process left, of every tenant; called at each start, beside the first requests and other
    # processes. Gives how many things there were; None: nothing is ever left.
    recover: Callable[[Resources, ContextOf], int] | None = None
    replay: Replay | None = None  # makes a recorded decision again; None: it has nothing to make again
    models: tuple[LiveModel, ...] = ()
    subjects: tuple[str, ...] = ()  # fields of requests that name whom they are about; the first given one counts
    watch: Callable[[Resources, Period], Watch] | None = None  # counted where the rows are; None: nothing is watched
