"""A recorded decision made again: the same application, the same models, the same policy, compared bit for bit.

The trail keeps no attribute of an applicant, so the application has to be given again; its fingerprint says whether it
is the same. Models come from the registry by the version that the trail names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from verticals.broken_rules import first_of
from verticals.contract import InvalidInput, ModelRegistry, Unavailable
from verticals.finance import schemas
from verticals.finance.reasons import PROFILES
from verticals.finance.records import CHUNK, ONE, find_edited, outcome_of
from verticals.finance.scoring import CHALLENGER, MOE, SCORECARD, Found, Models, assess, input_sha256, read_models
from verticals.finance.sources.model import NAME, from_files
from verticals.finance.sources.reading import Reading, read_sources, recorded_fraud, recorded_kept
from verticals.replaying import Kept, Replayed


@dataclass(frozen=True)
class Replay:
    """What came out; `differences` names what is not as recorded: (field, recorded, now)."""

    is_same_application: bool
    differences: tuple[tuple[str, Any, Any], ...]

    @property
    def is_exact(self) -> bool:
        """Whether the decision was made again to the bit."""
        return self.is_same_application and not self.differences


def replay(
    registry: ModelRegistry,
    recorded: Mapping[str, Any],
    application: schemas.Application,
    *,
    policy_of: Callable[[str], schemas.Policy],
) -> Replay:
    """Make a decision again.

    Args:
        registry: Holds the versions that decided.
        recorded: The audit entry, of kind `records.ONE`, from a chain that was verified; or of `records_of_files`.
        application: The application, given again.
        policy_of: The tenant's policy of a version.

    Raises:
        Unavailable: a model's version is not here any more.
        NotFound: the tenant has no such policy.
    """
    if not input_sha256(application).startswith(recorded["input_sha256"]):
        return Replay(is_same_application=False, differences=())
    models = replace(_models_of(registry, recorded), policy=policy_of(recorded["policy_version"]))
    [found] = assess(models, [(recorded["subject"], application)], [_reading_of(models, recorded)])
    now, then = outcome_of(models, found), recorded["outcome"]
    differences = tuple((name, then[name], now.get(name)) for name in then if then[name] != now.get(name))
    return Replay(is_same_application=True, differences=differences)


def _models_of(registry: ModelRegistry, recorded: Mapping[str, Any]) -> Models:
    outcome = recorded["outcome"]
    shadow, moe = (outcome.get(name) for name in ("challenger_version", "moe_version"))
    read = (outcome.get("sources") or {}).get("model_version")
    models = read_models(
        _version(registry, SCORECARD, recorded["model_version"]),
        _version(registry, CHALLENGER, shadow) if shadow else None,
        _version(registry, MOE, moe) if moe else None,
    )
    profile = PROFILES[outcome["reason_profile"]] if "reason_profile" in outcome else next(iter(PROFILES.values()))
    sources = from_files(read, _version(registry, NAME, read)[1]) if read else None
    return replace(models, sources=sources, profile=profile)


def _reading_of(models: Models, recorded: Mapping[str, Any]) -> Reading | None:
    """The sources as they were read: what is kept of the customer may be newer now, or erased."""
    read = recorded["outcome"].get("sources")
    if read is None:
        return None
    kept = recorded_kept(read)
    return read_sources(
        models.sources, models.policy.sources, kept, is_simulated=read["simulated"], fraud=recorded_fraud(read)
    )


def _version(registry: ModelRegistry, name: str, named: str) -> Found:
    found = registry.load(name, named.rpartition("@")[2])
    if found is None:
        raise Unavailable("this version is not in the registry", field=name, value=named, remedy="Restore its folder.")
    return found


def replay_entry(kept: Kept, entry: Mapping[str, Any], given: Mapping[str, Any] | None) -> Replayed:
    """`verticals.replaying.Replay`: a scoring to the bit; the records of a file against their digests.

    Raises:
        InvalidInput: what was given is no application.
        Unavailable, NotFound: as `replay`.
    """
    from verticals.finance.handlers import Finance

    if entry["kind"] == CHUNK:
        with kept.sessions() as session:
            edited = list(find_edited(session, kept.tenant, [entry]))
        pairs = {f"record {number}": (line, None) for number, line in enumerate(edited, start=1)}
        return Replayed.compared("unchanged", _FILE_SAID, pairs, {"model": entry["model_version"]})
    if entry["kind"] != ONE:
        return Replayed("not replayable", "Of finance, scorings are made again: of one application, or of a file.")
    versions = {"model": entry["model_version"], "policy": entry["policy_version"]}
    versions |= {name: told for name in ("challenger_version", "moe_version") if (told := entry["outcome"].get(name))}
    if given is None:
        return Replayed("input needed", "No attribute of an applicant is kept: give the application again.", versions)
    try:
        application = schemas.ScoreRequest.model_validate(given)
    except ValidationError as error:
        field, rule = first_of(error, whole="application")
        raise InvalidInput(rule, field=f"input.{field}") from None
    policies = Finance(kept.registry, kept.sessions).policies
    found = replay(kept.registry, entry, application, policy_of=partial(policies.get, kept.tenant))
    if not found.is_same_application:
        return Replayed("other input", "The fingerprint is another one: this is not what was scored.", versions)
    said = "Scored again with the recorded models and policy, and compared bit for bit."
    return Replayed("exact" if found.is_exact else "differs", said, versions, found.differences)


_FILE_SAID = (
    "The records of this part of a file were compared with the digests that the trail keeps. One of them is scored "
    "again with `trivium finance replay`."
)
