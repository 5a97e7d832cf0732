"""The core in editions: the language model that serves and one on trial, each an engine of its own in the pool.

A request goes to one of them by its subject (`service/asking.py`), as in the verticals, and its answer ends where it
began. In the shadow the other is asked the same when an answer has ended, off the request's way; how long both took,
how much they said and whether they agree is kept, never what they said. Ignores who decides about versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

import structlog

from core_model.engine import Engine
from core_model.generation import EngineStopped, RequestOptions, SamplingParams, TokenChunk
from core_model.served_model import Model
from service.asking import ASKING, Asking
from service.core_versions import CORE, folder_of, in_force, verify_core
from service.editions import Trial, Versions
from service.problems import named_rule
from service.registry import NONE, FileRegistry
from service.shadows import Compared, Observer, What
from verticals.contract import Conflict, TriviumError
from verticals.live import NamedModel

if TYPE_CHECKING:
    from core_model.models import ModelPool

_log = structlog.get_logger()
T = TypeVar("T")
MAX_WAITING = 16  # answers that the shadow has not given yet: more are skipped, nobody waits
START_CHARS = 32  # of an answer: some eight tokens, from which two editions may agree before they part
LOWEST = -1  # a shadow's priority among whatever else its engine does


def load_core(
    pool: ModelPool, registry: FileRegistry, models: Path, *, start: Callable[[], Path], **options: Any
) -> str:
    """Load the version in force, or the last one before it that can be loaded; which it is.

    Args:
        start: What serves where no version is in force, or none of them can be loaded.
        options: As `ModelPool.load`.

    Raises:
        ValueError: that cannot be loaded either.
    """
    for version in in_force(registry):
        try:
            verify_core(registry, models, version)
            pool.load(CORE, folder_of(registry, models, version), **options)
        except (ValueError, OSError, TriviumError) as error:
            _log.error("the core cannot start by this version", version=version, error=type(error).__name__)
        else:
            return version
    pool.load(CORE, start(), **options)
    return NONE


@dataclass(frozen=True)
class _Lineup:
    version: str
    trial: Trial | None = None
    observer: Observer | None = None


class LiveCore:
    """The pool's core, which follows its versions; see `service.editions.Live`.

    Args:
        pool: Has the core loaded.
        registry: Holds the versions.
        models: Where their folders lie.
        start: What serves where no version is in force.
        version: What is loaded.
    """

    name = CORE
    models = (NamedModel(CORE, "generate"),)

    def __init__(
        self, pool: ModelPool, registry: FileRegistry, models: Path, *, start: Callable[[], Path], version: str = NONE
    ) -> None:
        self.pool, self._registry, self._folder, self._start = pool, registry, models, start
        self._lineup = _Lineup(version)
        self._versions: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()
        self._versions[pool.engine(CORE).current.engine] = version
        pool.route(CORE, self._ask)

    @property
    def versions(self) -> Versions:
        """What serves; empty where no version is in force."""
        return {} if self._lineup.version == NONE else {CORE: self._lineup.version}

    @property
    def trial(self) -> Trial | None:
        """What is on trial."""
        return self._lineup.trial

    @property
    def observer(self) -> Observer | None:
        """Counts what the trial shows."""
        return self._lineup.observer

    def prove(self, model: NamedModel, version: str) -> bool:
        """Load the version beside what serves, where it answers once; it can be in the shadow.

        Raises:
            NotFound: no such version. Unavailable: it is damaged. Conflict: there is too little memory, or it fails.
        """
        self._bring(version)
        return True

    def arrange(self, versions: Versions, trial: Trial | None) -> None:
        """Load what is not there yet, then let it answer. Requests go on meanwhile.

        Raises:
            TriviumError: as `prove`; nothing has changed then.
        """
        now, version = self._lineup, versions.get(CORE, NONE)
        if version != now.version:
            folder = self._bring(version)
            if folder != self.pool.folders(CORE)[0]:
                self.pool.swap(CORE, folder)
            self._versions[self.pool.engine(CORE).current.engine] = version
        if trial is None:
            self._lineup = _Lineup(version)
            self.pool.put_away(CORE)
        else:
            self._bring(trial.version)
            is_same = now.trial == trial and now.version == version
            observer = now.observer if is_same else Observer(trial.model, trial.number, None, most=MAX_WAITING)
            self._lineup = _Lineup(version, trial, observer)
        if now.observer is not None and now.observer is not self._lineup.observer:
            now.observer.close()

    def _bring(self, version: str) -> Path:
        """The version's folder, once it is loaded."""
        folder = self._start() if version == NONE else folder_of(self._registry, self._folder, version)
        loaded = self.pool.folders(CORE)
        if folder == loaded[0]:  # what the settings name may be registered later
            return folder
        if folder not in loaded and version != NONE:
            verify_core(self._registry, self._folder, version)
        try:
            model = self.pool.beside(CORE, folder)
        except ValueError as error:
            rule = named_rule(error)[1]
            raise Conflict(rule, field=CORE, value=version, remedy="What serves goes on.") from error
        self._versions[model.engine] = version
        return folder

    def _ask(self, use: Callable[[Model], T], serving: Model, other: Model | None) -> T:
        """`use` with the edition for the request at hand; what no request waits for goes to what serves."""
        asking, lineup = ASKING.get(), self._lineup
        if asking is None:
            return use(serving)
        trial = lineup.trial if other is not None and self._is_of(lineup.trial, other) else None
        is_new = trial is not None and trial.takes(asking.subject)
        edition = other if is_new and other is not None else serving
        shadow = other if trial is not None and trial.state == "shadow" else None
        asked = _Asked(
            use, self._versions.get(edition.engine, NONE), asking, is_new, lineup.observer if trial else None, shadow
        )
        listening = _Listening(edition.engine, partial(asked.stream, edition.engine))
        return use(Model(cast(Engine, listening), edition.tokenizer))

    def _is_of(self, trial: Trial | None, other: Model) -> bool:
        return trial is not None and self._versions.get(other.engine) == trial.version


class _Listening:
    """An engine whose streams are another's; all else is the engine's own."""

    def __init__(self, engine: Engine, stream: Callable[..., Iterator[TokenChunk]]) -> None:
        self._engine, self.stream = engine, stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@dataclass
class _Answer:
    """What is kept of one while it comes."""

    began_s: float = field(default_factory=perf_counter)
    first_s: float = 0.0
    ended_s: float = 0.0
    num_tokens: int = 0
    text: str = ""

    def read(self, chunks: Iterator[TokenChunk]) -> Iterator[TokenChunk]:
        """The chunks, as they come."""
        for chunk in chunks:
            self.first_s = self.first_s or perf_counter()
            self.num_tokens += len(chunk.token_ids)
            self.text += chunk.text
            yield chunk
        self.ended_s = perf_counter()

    def ms(self, until_s: float) -> int:
        """Since it was asked for."""
        return round(1000 * (until_s - self.began_s))


@dataclass(frozen=True)
class _Asked:
    """One request to one edition."""

    use: Callable[[Model], Any]
    version: str
    asking: Asking
    is_new: bool
    observer: Observer | None
    shadow: Model | None

    def stream(
        self,
        engine: Engine,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        options: RequestOptions | None = None,
    ) -> Iterator[TokenChunk]:
        """As `Engine.stream`; the request is told who answers, and a trial how it went."""
        answer = _Answer()
        try:
            chunks = engine.stream(prompt_ids, params, options=options)
        except (EngineStopped, ValueError):  # a swap came between, and it is asked again; or the caller's mistake
            raise
        except Exception as error:
            self._note(error)
            raise
        if self.version != NONE:
            self.asking.answered_by[CORE] = self.version
        return chunks if self.observer is None else self._heard(answer, chunks, params)

    def _heard(self, answer: _Answer, chunks: Iterator[TokenChunk], params: SamplingParams) -> Iterator[TokenChunk]:
        try:
            yield from answer.read(chunks)
        except GeneratorExit:  # the listener left
            chunks.close()  # type: ignore[attr-defined]
            self._note(None)
            raise
        except Exception as error:
            self._note(error)
            raise
        self._note(None)
        if self.observer is not None and self.shadow is not None:
            compare = partial(_compare, self.use, self.shadow, answer, is_sampled=params.temperature > 0)
            self.observer.later(self.asking.request_id, compare)

    def _note(self, error: Exception | None) -> None:
        if self.observer is not None:
            self.observer.answered([(None, self.asking.request_id)], new=self.is_new, error=error)


def _compare(use: Callable[[Model], Any], shadow: Model, old: _Answer, *, is_sampled: bool) -> Compared:
    """Ask the shadow the same, and set it beside the answer that was given."""
    begun: list[tuple[_Answer, Iterator[TokenChunk]]] = []

    def stream(
        prompt_ids: Sequence[int], params: SamplingParams, *, options: RequestOptions | None = None
    ) -> Iterator[TokenChunk]:
        answer = _Answer()
        last = replace(options or RequestOptions(), priority=LOWEST)
        begun.append((answer, shadow.engine.stream(prompt_ids, params, options=last)))
        return begun[-1][1]

    use(Model(cast(Engine, _Listening(shadow.engine, stream)), shadow.tokenizer))
    [(new, chunks)] = begun
    for _ in new.read(chunks):
        pass
    sums: dict[What, int] = {
        "old_ms": old.ms(old.ended_s),
        "new_ms": new.ms(new.ended_s),
        "old_tokens": old.num_tokens,
        "new_tokens": new.num_tokens,
    }
    if is_sampled:  # two draws differ whatever the models are
        return Compared({"sampled": 1, **sums})
    if old.text == new.text:
        return Compared({"same": 1, "same_start": 1, **sums})
    is_same_start = int(old.text[:START_CHARS] == new.text[:START_CHARS])
    return Compared({"different": 1, "same_start": is_same_start, **sums}, _differing(old, new))


def _differing(old: _Answer, new: _Answer) -> Mapping[str, tuple[int, int]]:
    """How far two answers are from each other, without their words."""
    pairs = zip(old.text, new.text, strict=False)
    num_common = next((i for i, (one, two) in enumerate(pairs) if one != two), min(len(old.text), len(new.text)))
    return {
        "characters": (len(old.text), len(new.text)),
        "characters alike from the start": (num_common, num_common),
        "tokens": (old.num_tokens, new.num_tokens),
        "first token ms": (old.ms(old.first_s), new.ms(new.first_s)),
        "ms": (old.ms(old.ended_s), new.ms(new.ended_s)),
    }
