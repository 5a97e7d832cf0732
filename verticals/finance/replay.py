"""A recorded decision made again: the same application, the same models, the same policy, compared bit for bit.

The trail keeps no attribute of an applicant, so the application has to be given again; its fingerprint says whether it
is the same. Models come from the registry by the version that the trail names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from verticals.contract import ModelRegistry, Unavailable
from verticals.finance import schemas
from verticals.finance.reasons import PROFILES
from verticals.finance.records import outcome_of
from verticals.finance.scoring import CHALLENGER, MOE, SCORECARD, Found, Models, assess, input_sha256, read_models
from verticals.finance.sources.model import NAME, from_files
from verticals.finance.sources.reading import Reading, read_sources, recorded_kept


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
    return read_sources(models.sources, models.policy.sources, kept, is_simulated=read["simulated"])


def _version(registry: ModelRegistry, name: str, named: str) -> Found:
    found = registry.load(name, named.rpartition("@")[2])
    if found is None:
        raise Unavailable("this version is not in the registry", field=name, value=named, remedy="Restore its folder.")
    return found
