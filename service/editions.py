"""A vertical in several editions, each built on its own versions of the models; requests go to one of them.

An edition is the vertical's own handlers over a registry whose versions are fixed. Another version is another edition,
built beside the one that answers; which answers whom is one tuple, replaced as a whole. A request that has begun keeps
its edition, and an edition that nobody keeps is gone with its last request. Ignores who decides about versions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel
from sqlalchemy.orm import Session

from service.registry import FileRegistry
from service.shadows import Observer
from verticals.contract import Context, Decision, Handler, ModelCard, Recorder, Resources, Vertical
from verticals.grouped import AnswerAll, Asked, Grouped, RecordAll
from verticals.live import LiveModel, NamedModel, Said

KEPT = 3  # editions of a vertical that stay loaded: the serving one, the one before it or on trial, and one more

Versions = Mapping[str, str]  # name in the registry -> version


@dataclass(frozen=True)
class FixedRegistry:
    """A registry whose models have one version each.

    Attributes:
        registry: Gives what is not fixed.
        versions: That are.
        absent: Models that have none: who opens them serves what the package brings.
    """

    registry: FileRegistry
    versions: Versions
    absent: Collection[str] = ()

    def save(
        self, name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, activate: bool = True
    ) -> ModelCard:
        """As `FileRegistry.save`."""
        return self.registry.save(name, files, card, activate=activate)

    def load(self, name: str, version: str | None = None) -> tuple[ModelCard, Mapping[str, Path]] | None:
        """The version that is named, else the fixed one."""
        if version is None and name in self.absent:
            return None
        return self.registry.load(name, version or self.versions.get(name))


@dataclass(frozen=True)
class Trial:
    """A version beside the one that serves.

    Attributes:
        number: Of the step that began it, which tells one trial of a version from the next.
        share: Of subjects that it answers, 0 to 1; nobody's in the shadow.
    """

    model: NamedModel
    version: str
    number: int
    state: Literal["shadow", "canary"]
    share: float

    def takes(self, subject: str) -> bool:
        """Whether it answers this subject: always the same ones, and a larger share keeps those of a smaller."""
        drawn = hashlib.sha256(f"{self.model.name}@{self.version}\0{subject}".encode()).digest()[:8]
        return self.state == "canary" and int.from_bytes(drawn, "big") < self.share * 2**64


class Live(Protocol):
    """What answers by versions of its models: a vertical, or the core."""

    name: str

    @property
    def models(self) -> Sequence[NamedModel]:
        """That have versions."""

    @property
    def versions(self) -> Versions:
        """Of the registered models that serve."""

    @property
    def trial(self) -> Trial | None:
        """What is on trial."""

    @property
    def observer(self) -> Observer | None:
        """Counts what the trial shows."""

    def prove(self, model: NamedModel, version: str) -> bool:
        """Whether a version can be in the shadow, once it has answered. Raises Exception: it does not."""

    def arrange(self, versions: Versions, trial: Trial | None) -> None:
        """Let these answer. Raises Exception: one cannot be had; nothing has changed then."""


@dataclass(frozen=True)
class Edition:
    """Handlers over fixed versions; `told` are those of the live models, which answers and audit entries name."""

    versions: Versions
    told: Versions
    handlers: Mapping[str, Handler]


@dataclass(frozen=True)
class _Lineup:
    serving: Edition
    trial: Trial | None = None
    other: Edition | None = None  # of the trial
    observer: Observer | None = None

    def note(self, edition: Edition, name: str, asked: Asked, error: Exception | None) -> None:
        """Count for the trial, if there is one, what the model's own operation answered."""
        if self.observer is not None and name == self.observer.model.operation:
            ids = [(request, context.request_id) for request, context in asked]
            self.observer.answered(ids, new=edition is self.other, error=error)


class LiveVertical:
    """A vertical's handlers, which follow its models' versions.

    Args:
        vertical: Has live models.
        resources: For every edition.
        registry: Of which each edition sees fixed versions.
        versions: That serve first.
    """

    def __init__(self, vertical: Vertical, resources: Resources, registry: FileRegistry, versions: Versions) -> None:
        self.name, self.models = vertical.name, vertical.models
        self.vertical, self._resources, self._registry = vertical, resources, registry
        self._kept: dict[tuple[tuple[str, str], ...], Edition] = {}
        self._lineup = _Lineup(self._edition(versions))
        self.handlers = {
            name: self._grouped(name, handler) if isinstance(handler, Grouped) else partial(self._answer, name)
            for name, handler in self._lineup.serving.handlers.items()
        }

    @property
    def versions(self) -> Versions:
        """Of the registered models that serve."""
        return self._lineup.serving.versions

    @property
    def trial(self) -> Trial | None:
        """What is on trial."""
        return self._lineup.trial

    @property
    def observer(self) -> Observer | None:
        """Counts what the trial shows."""
        return self._lineup.observer

    def prove(self, model: NamedModel, version: str) -> bool:
        """Whether a version can be in the shadow, once it has answered the examples with numbers.

        Raises:
            Exception: it cannot be read, or does not answer.
        """
        one = self._live(model)
        say = self._said(one, version)
        for example in self._examples(one) if say else ():
            _require_finite(say(example))  # type: ignore[misc]
        return say is not None

    def _live(self, model: NamedModel) -> LiveModel:
        return next(one for one in self.models if one.name == model.name)

    def _said(self, model: LiveModel, version: str | None) -> Callable[[Any], Said] | None:
        """A version of a model, or none, beside the others that serve, as a function of requests."""
        others = {name: kept for name, kept in self.versions.items() if name != model.name}
        return model.open(self._fixed(others | ({} if version is None else {model.name: version})))

    def _fixed(self, versions: Versions) -> FixedRegistry:
        absent = {model.name for model in self.vertical.models} - set(versions)
        return FixedRegistry(self._registry, versions, absent)

    def _examples(self, model: LiveModel) -> Sequence[BaseModel]:
        if model.examples is not None:
            return model.examples()
        operation = next(one for one in self.vertical.operations if one.name == model.operation)
        return [operation.request.model_validate(body) for body in operation.examples.values()]

    def arrange(self, versions: Versions, trial: Trial | None) -> None:
        """Build what is not there yet, then let it answer. Requests go on meanwhile.

        Raises:
            Exception: an edition cannot be built; nothing has changed then.
        """
        now = self._lineup
        serving = self._edition(versions)
        if trial is None:
            self._lineup = _Lineup(serving)
            return
        other = self._edition({**versions, trial.model.name: trial.version})
        observer = now.observer if now.trial == trial and now.serving is serving else None
        if observer is None:
            pair = None
            if trial.state == "shadow":
                one = self._live(trial.model)
                old, new = self._said(one, versions.get(one.name)), self._said(one, trial.version)
                pair = (old, new) if old and new else None
            observer = Observer(trial.model, trial.number, pair)
        self._lineup = _Lineup(serving, trial, other, observer)

    def _edition(self, versions: Versions) -> Edition:
        key = tuple(sorted(versions.items()))
        edition = self._kept.pop(key, None)
        if edition is None:
            fixed = replace(self._resources, registry=self._fixed(versions))
            told = {model.name: versions[model.name] for model in self.vertical.models if model.name in versions}
            edition = Edition(versions, told, self.vertical.build(fixed))
        self._kept[key] = edition
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)))
        return edition

    def _chosen(self, lineup: _Lineup, name: str, request: BaseModel, context: Context) -> Edition:
        """Whom to ask. What names no subject goes to what serves, but by chance where it is for the very model."""
        trial = lineup.trial
        if trial is None or lineup.other is None:
            return lineup.serving
        subject = context.subject(request, self.vertical.subjects)
        if subject is None and name == trial.model.operation:
            subject = context.request_id
        drawn = subject is not None and trial.takes(f"{context.tenant}\0{subject}")
        return lineup.other if drawn else lineup.serving

    def _answer(self, name: str, request: BaseModel, context: Context) -> Any:
        lineup = self._lineup
        edition = self._chosen(lineup, name, request, context)
        context.answered_by.update(edition.told)
        marked = replace(context, record=partial(_record, context.record, edition.told))
        note = partial(lineup.note, edition, name, [(request, context)])
        try:
            found = edition.handlers[name](request, marked)
        except Exception as error:
            note(error)
            raise
        if isinstance(found, Iterator):
            return _noted(found, note)
        note(None)
        return found

    def _grouped(self, name: str, handler: Grouped) -> Grouped:
        """The same for requests that come together: each edition answers its own."""

        def split(asked: Asked) -> list[tuple[Sequence[int], AnswerAll]]:
            lineup = self._lineup
            if lineup.trial is None:
                return [(range(len(asked)), partial(self._answer_all, lineup, lineup.serving, name))]
            parts: dict[int, tuple[list[int], AnswerAll]] = {}
            for place, (request, context) in enumerate(asked):
                edition = self._chosen(lineup, name, request, context)
                answer_all = partial(self._answer_all, lineup, edition, name)
                parts.setdefault(id(edition), ([], answer_all))[0].append(place)
            return [*parts.values()]

        def answer_all(asked: Asked, record_all: RecordAll) -> Sequence[bytes]:
            [(_, answer)] = split(asked)  # whoever asks many at once splits them first
            return answer(asked, record_all)

        return Grouped(handler.response, answer_all, split)

    @staticmethod
    def _answer_all(
        lineup: _Lineup, edition: Edition, name: str, asked: Asked, record_all: RecordAll
    ) -> Sequence[bytes]:
        handler = edition.handlers[name]
        assert isinstance(handler, Grouped)
        for _, context in asked:
            context.answered_by.update(edition.told)

        def record(entries: Sequence[tuple[Context, Decision]], session: Session) -> None:
            record_all([(who, replace(decision, models=edition.told)) for who, decision in entries], session)

        try:
            answers = handler.answer_all(asked, record)
        except Exception as error:
            if len(asked) == 1:  # else they are asked again, one by one
                lineup.note(edition, name, asked, error)
            raise
        lineup.note(edition, name, asked, None)
        return answers


def _require_finite(said: Said) -> None:
    bad = [name for name, value in said.items() if isinstance(value, float) and not math.isfinite(value)]
    if bad:
        raise ValueError(f"{bad[0]} of an example is no finite number")


def _record(record: Recorder, versions: Versions, *decisions: Decision, session: Session | None = None) -> None:
    record(*(replace(decision, models=versions) for decision in decisions), session=session)


def _noted(events: Iterator[Any], note: Callable[[Exception | None], None]) -> Iterator[Any]:
    try:
        yield from events
    except Exception as error:
        note(error)
        raise
    note(None)
