"""A model's name that keeps its meaning while models are exchanged under it. Ignores who exchanges them.

What serves, and what is loaded beside it, are read as one, without a lock; `ask` says which of the two a request gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

from core_model.engine import Engine
from core_model.generation import EngineStopped, RequestOptions, SamplingParams, TokenChunk
from core_model.stats import EngineStats

if TYPE_CHECKING:
    from core_model.pooled import FloatArray, Pooling
    from core_model.tokenizer import Tokenizer

T = TypeVar("T")


class Model(NamedTuple):
    """An engine and the tokenizer that belongs to it."""

    engine: Engine
    tokenizer: Tokenizer


class Ask(Protocol):
    """Uses the model that serves, or the one that is loaded beside it, for the request at hand."""

    def __call__(self, use: Callable[[Model], T], serving: Model, other: Model | None) -> T: ...


class Loaded(NamedTuple):
    """A model, from where, and how it was opened."""

    model: Model
    folder: Path
    options: Mapping[str, Any]


@dataclass(eq=False)
class Place:
    """A name's state; what serves and what is beside it are replaced as one, so that reading them needs no lock."""

    loaded: tuple[Loaded, Loaded | None] | None  # None: the name was unloaded
    ask: Ask | None = None
    previous: Path | None = None
    num_swaps: int = 0
    adapters: dict[str, Path] = field(default_factory=dict)
    draining: WeakSet[Engine] = field(default_factory=WeakSet)  # weak: an engine that has ended may be forgotten


class ServedModel:
    """A name that keeps its meaning across swaps: a `TextEngine` that is always the current one."""

    def __init__(self, name: str, place: Place) -> None:
        self.name, self._place = name, place

    @property
    def current(self) -> Model:
        """Engine and tokenizer of this moment, which belong together.

        Raises:
            EngineStopped: the model was unloaded.
        """
        return self._loaded()[0].model

    def _loaded(self) -> tuple[Loaded, Loaded | None]:
        loaded = self._place.loaded  # read once: it may be unloaded meanwhile
        if loaded is None:
            raise EngineStopped(f"model: {self.name!r} is not loaded. Load it again.")
        return loaded

    @property
    def model_version(self) -> str:
        """Of the engine that the request at hand goes to, or else the next one."""
        return self.call(lambda model: model.engine.model_version)

    def call(self, use: Callable[[Model], T]) -> T:
        """`use` with the request's model; again with its successor if a swap came between its steps.

        Tokens mean something to their own model only, so whoever encodes text and then streams does both in one `use`.
        """
        while True:
            loaded = self._loaded()
            serving, other = loaded[0].model, loaded[1].model if loaded[1] else None
            try:
                return self._place.ask(use, serving, other) if self._place.ask else use(serving)
            except EngineStopped:
                if loaded is self._place.loaded:
                    raise

    def stream(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, options: RequestOptions | None = None
    ) -> Iterator[TokenChunk]:
        """As `Engine.stream`; the answer ends on the engine that it began on."""
        return self.call(lambda model: model.engine.stream(prompt_ids, params, options=options))

    def embed(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        pooling: Pooling = "mean",
        normalize: bool = False,
        options: RequestOptions | None = None,
    ) -> FloatArray:
        """As `Engine.embed`; all rows are of one model."""
        return self.call(
            lambda model: model.engine.embed(prompts, pooling=pooling, normalize=normalize, options=options)
        )

    def between_steps(self, change: Callable[[Any], str | None]) -> None:
        """As `Engine.between_steps`; a later swap undoes it."""
        self.call(lambda model: model.engine.between_steps(change))

    def stats(self) -> EngineStats:
        """Of the current engine; totals begin anew with each."""
        return self.current.engine.stats()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names that requests may ask for."""
        return self.current.engine.adapters

    def expert_counts(self) -> Mapping[int, Sequence[int]]:
        """Of the current engine."""
        return self.current.engine.expert_counts()
