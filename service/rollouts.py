"""New versions of registered models, step by step: shadow, canary by share, full, rolled back. Ignores HTTP.

The registry's pointer says what is in force, the ledger what is on trial; every process follows both within a second.
A version is verified by its SHA-256 and answers the model's examples before any request sees it. What fails that, or
cannot be built, changes nothing: what served serves, and `faults` says what is wrong until the next change.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

import structlog
from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.editions import Live, Trial, Versions
from service.registry import NONE, FileRegistry
from service.rollout_ledger import State, Step, add_counts, append, counts_of, newest_steps
from verticals.bootstrap import wilson_interval
from verticals.contract import (
    Conflict,
    Decision,
    InvalidInput,
    NotFound,
    TriviumError,
    Unavailable,
)
from verticals.live import NamedModel

KIND = "models.rollout"  # of audit entries
LEAST_FAILURES = 3  # of a canary before it may be taken back by itself
SERVICE = "service"  # who takes a step that no person took
_log = structlog.get_logger()


class Rollouts:
    """The live models of all verticals, and the core.

    Args:
        lives: Those with live models, by name.
        registry: Holds the versions.
        sessions: Of the ledger's database.
        audit: Where every step is recorded, in the step's transaction.
    """

    def __init__(
        self,
        lives: Mapping[str, Live],
        registry: FileRegistry,
        sessions: sessionmaker[Session],
        audit: AuditLog,
    ) -> None:
        self._lives, self._registry, self._sessions, self._audit = lives, registry, sessions, audit
        self._changing = threading.RLock()
        self._seen: dict[str, tuple[Versions, Step | None]] = {}
        self._checked: set[tuple[str, str]] = set()
        self._faults: dict[str, str] = {}

    @property
    def faults(self) -> Mapping[str, str]:
        """Model -> why the version that should serve or be on trial does not; empty when all is well."""
        return {**self._registry.faults, **self._faults}

    def models(self) -> Iterator[tuple[Live, NamedModel]]:
        """Every live model with whose it is."""
        for live in self._lives.values():
            yield from ((live, model) for model in live.models)

    def find(self, name: str) -> tuple[Live, NamedModel]:
        """One of them.

        Raises:
            NotFound: no such model.
        """
        found = next((pair for pair in self.models() if pair[1].name == name), None)
        if found is None:
            names = ", ".join(sorted(model.name for _, model in self.models()))
            raise NotFound(f"must be one of {names}", field="model", value=name)
        return found

    def take(
        self,
        model: str,
        state: State,
        *,
        version: str | None = None,
        share: float = 0.0,
        person: str,
        reason: str,
        who: Mapping[str, str],
    ) -> Step:
        """Take a step; this process has followed it on return.

        Args:
            model: Its name in the registry.
            state: What is to hold.
            version: Of the model; None: the one on trial, or that of before for "rolled back".
            share: Of subjects that a canary answers, 0 to 1.
            person: Who decides.
            reason: Why.
            who: Of the audit entry: tenant, actor and request_id.

        Raises:
            NotFound: no such model or version. InvalidInput: no version is named, or a share that is none.
            Conflict: the present state forbids it, or the version does not answer. Unavailable: its files are damaged.
        """
        with self._changing:
            live, one = self.find(model)
            with self._sessions() as session:
                steps = newest_steps(session)
            now, serving = steps.get(model), self._registry.in_force(model) or (NONE,)
            wanted = self._wanted(model, state, now, serving, version)
            if state != "rolled back":
                self._refuse_beside(live, model, steps)
                self.check(live, one, wanted, in_shadow=state == "shadow")
            if state == "canary" and not 0 < share <= 1:
                raise InvalidInput("must be above 0 and at most 1", field="share", value=share)
            step = Step(
                model=model,
                number=now.number + 1 if now else 1,
                state=state,
                version=wanted,
                previous=serving[0],
                share=share if state == "canary" else 0.0,
                tenant=who["tenant"],
                person=person,
                reason=reason,
                at=datetime.now(UTC),
            )
            self._write(step, who)
            self._faults.pop(model, None)
            self._seen.pop(live.name, None)  # arranged anew, also where another step was first: nothing is left beside
            self.refresh()
            return step

    def check(self, live: Live, model: NamedModel, version: str, *, in_shadow: bool = False) -> None:
        """Whether a version may serve: its files are those of its card, and it answers the examples with numbers.

        Raises:
            NotFound: no such version. Unavailable: it is damaged.
            Conflict: it does not answer; or it cannot be in the shadow.
        """
        self._registry.require(model.name, version)
        if (model.name, version) in self._checked and not in_shadow:
            return
        try:
            has_shadow = live.prove(model, version)
        except (Conflict, Unavailable):
            raise
        except Exception as error:
            raise Conflict(
                f"the version does not answer the model's examples ({type(error).__name__}: {error})",
                field=model.name,
                value=version,
                remedy="What serves goes on. Train it again, or give another version.",
            ) from error
        if in_shadow and not has_shadow:
            raise Conflict(
                "cannot be asked without effect", field=model.name, remedy="Let a small canary show what it does."
            )
        self._checked.add((model.name, version))

    def refresh(self) -> None:
        """Follow registry and ledger, and write down what trials showed; cheap while nothing changes."""
        with self._changing:
            self._write_counts()
            with self._sessions() as session:
                steps = newest_steps(session)
            for live in self._lives.values():
                self._follow(live, steps)

    def _follow(self, live: Live, steps: Mapping[str, Step]) -> None:
        name = live.name
        on_trial = (steps[m.name] for m in live.models if m.name in steps and steps[m.name].is_on_trial)
        step = next(on_trial, None)
        pointers = in_force_of(self._registry, name)
        if self._seen.get(name) == (pointers, step) and not self._is_mended(pointers):
            return
        self._seen[name] = pointers, step
        versions, trial = sound_versions(self._registry, name), None
        for model in live.models:
            if versions.get(model.name) not in (None, live.versions.get(model.name)):
                versions = self._checked_or_before(live, model, versions)
        if step is not None and versions.get(step.model) != step.version:
            trial = self._trial(live, step)
        before = live.versions, live.trial
        try:
            live.arrange(versions, trial)
        except Exception as error:  # noqa: BLE001  (whatever it is, what served serves)
            self._fault(step.model if step else name, error)
        else:
            if before != (live.versions, live.trial):
                _log.info("models follow", vertical=name, **_told(before[0], live.versions, trial))

    def _is_mended(self, models: Iterable[str]) -> bool:
        """Whether a damaged version is whole again."""
        damaged = [name for name in models if name in self._registry.faults]
        for name in damaged:
            with suppress(Unavailable):
                self._registry.load(name)
        return any(name not in self._registry.faults for name in damaged)

    def _checked_or_before(self, live: Live, model: NamedModel, versions: Versions) -> Versions:
        try:
            self.check(live, model, versions[model.name])
        except TriviumError as error:
            self._fault(model.name, error)
            before = live.versions.get(model.name)
            return {**versions, model.name: before} if before else versions
        self._faults.pop(model.name, None)
        return versions

    def _trial(self, live: Live, step: Step) -> Trial | None:
        model = next(model for model in live.models if model.name == step.model)
        try:
            self.check(live, model, step.version)
        except TriviumError as error:
            self._fault(model.name, error)
            return None
        assert step.state in ("shadow", "canary")
        return Trial(model, step.version, step.number, step.state, step.share)

    def _fault(self, name: str, error: Exception) -> None:
        self._faults[name] = str(error)
        _log.error("a model cannot be followed; what served serves", model=name, error=type(error).__name__)

    @staticmethod
    def _wanted(model: str, state: State, now: Step | None, serving: tuple[str, ...], version: str | None) -> str:
        """The version of the step."""
        on_trial = now.version if now is not None and now.is_on_trial else None
        if state == "rolled back":
            if on_trial is not None and version in (None, on_trial):
                return serving[0]
            if now is None or now.state != "full" or len(serving) < 2 or version is not None:
                raise Conflict(
                    "there is no step to take back", field="model", value=model, remedy="Name what shall serve."
                )
            return serving[1]
        if on_trial is not None and version not in (None, on_trial):
            raise Conflict(
                "another version is on trial", field="model", value=on_trial, remedy="Roll it back, or make it full."
            )
        if (wanted := version or on_trial) is None:
            raise InvalidInput("must be given: none is on trial", field="version")
        if wanted == serving[0]:
            raise Conflict("serves already", field="version", value=wanted)
        return wanted

    @staticmethod
    def _refuse_beside(live: Live, model: str, steps: Mapping[str, Step]) -> None:
        """One trial a vertical, so that a difference has one cause."""
        for other in live.models:
            step = steps.get(other.name)
            if step is not None and step.is_on_trial and other.name != model:
                raise Conflict(
                    f"{other.name} {step.version} is on trial in the same vertical",
                    field="model",
                    value=model,
                    remedy="One at a time, so that a difference has one cause: end that one first.",
                )

    def _write(self, step: Step, who: Mapping[str, str]) -> None:
        """Ledger, audit trail and, last before the commit, the pointer."""
        moves = not step.is_on_trial and step.version != step.previous
        told = asdict(step) | {"at": step.at.isoformat()}
        outcome = {name: told[name] for name in ("state", "version", "previous", "share", "person", "reason")}
        digest = hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()
        decision = Decision(KIND, step.model, digest, outcome, f"{step.model}@{step.version}")
        has_moved = False  # else it may be another process that did, whose step holds
        try:
            with self._sessions.begin() as session:
                append(session, step)
                self._audit.record(decision, who=who, session=session)
                if moves:
                    self._point(step.model, step.version)
                    has_moved = True
        except BaseException:
            if has_moved and (self._registry.in_force(step.model) or (NONE,))[0] == step.version:
                self._point(step.model, step.previous)
            raise

    def _point(self, model: str, version: str) -> None:
        if version == NONE:
            self._registry.deactivate(model)
        else:
            self._registry.activate(model, version)

    def _write_counts(self) -> None:
        for live in self._lives.values():
            if (observer := live.observer) is None:
                continue
            counts, differences = observer.drain()
            if counts:
                with self._sessions.begin() as session:
                    add_counts(session, (observer.model.name, observer.number), counts, differences)
                self._take_back_if_failing(live, observer.number)

    def _take_back_if_failing(self, live: Live, number: int) -> None:
        """A canary that surely fails more often than what serves is rolled back without waiting for a person."""
        trial = live.trial
        if trial is None or trial.state != "canary" or trial.number != number:
            return
        with self._sessions() as session:
            seen = counts_of(session, (trial.model.name, number))
            step = newest_steps(session)[trial.model.name]
        failed, answered = seen.get("new_failed", 0), seen.get("new", 0)
        others = wilson_interval(seen.get("old_failed", 0), seen["old"])[1] if seen.get("old") else 0.0
        if step.number != number or failed < LEAST_FAILURES or wilson_interval(failed, answered)[0] <= others:
            return
        who = {"tenant": step.tenant, "actor": SERVICE, "request_id": SERVICE}
        reason = (
            f"{failed} of {answered} answers failed; what serves: {seen.get('old_failed', 0)} of {seen.get('old', 0)}"
        )
        with suppress(Conflict):  # another process, or a person, has ended the trial meanwhile
            self.take(trial.model.name, "rolled back", version=trial.version, person=SERVICE, reason=reason, who=who)


def _told(before: Versions, now: Versions, trial: Trial | None) -> dict[str, str]:
    """What is another version now, and what is on trial."""
    changed = {name: now.get(name, NONE) for name in {**before, **now} if before.get(name) != now.get(name)}
    named = {"serves": ", ".join(f"{name}@{version}" for name, version in changed.items())} if changed else {}
    return named | ({"trial": f"{trial.model.name}@{trial.version} ({trial.state})"} if trial else {})


def in_force_of(registry: FileRegistry, vertical: str) -> Versions:
    """Of each model of a vertical, or of the core, that has one, the version in force, sound or not."""
    mine = (name for name in registry.names() if name.partition(".")[0] == vertical)
    return {name: versions[0] for name in mine if (versions := registry.in_force(name))}


def sound_versions(registry: FileRegistry, vertical: str) -> Versions:
    """Of each model of a vertical, the version in force, or the last sound one before it."""
    found = {}
    for name in in_force_of(registry, vertical):
        try:
            loaded = registry.load(name)
        except Unavailable:  # whoever needs it says so
            continue
        if loaded is not None:
            found[name] = loaded[0].version
    return found
