"""The one path from applications to assessments: score, reasons, policy, challenger. Ignores files and storage."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verticals.contract import ModelCard, ModelRegistry, Unavailable
from verticals.finance import policy, schemas
from verticals.finance.challenger import Challenger
from verticals.finance.data import DATA_NOTE
from verticals.finance.overrides import applied
from verticals.finance.reasons import PROFILE, ReasonProfile, bin_text, principal_reasons
from verticals.finance.scaling import prob_default
from verticals.finance.scorecard import Scorecard, ScoredFeature
from verticals.finance.sources.model import SourceModel, load_sources
from verticals.finance.sources.reading import Reading
from verticals.finance.sources.schemas import SourcePart
from verticals.finance.sources.telling import tell_parts

FINGERPRINTED = sorted(schemas.Application.model_fields)
_random = random.Random()  # noqa: S311  (ids are unique, no secrets; seeded by the system, and by nobody else)
SCORECARD, CHALLENGER, MOE = "finance.scorecard", "finance.challenger", "finance.moe"  # names in the registry


@dataclass(frozen=True)
class Models:
    """What serves: the active scorecard with its evidence and policy, and the challenger if there is one."""

    card: ModelCard
    scorecard: Scorecard
    validation: dict[str, Any]
    policy: schemas.Policy
    challenger_card: ModelCard | None
    challenger: Challenger | None
    challenger_validation: dict[str, Any]
    moe_card: ModelCard | None = None
    moe: Scorecard | None = None
    moe_validation: dict[str, Any] = field(default_factory=lambda: {"figures": []})
    sources: SourceModel | None = None
    profile: ReasonProfile = PROFILE

    @property
    def version(self) -> str:
        """Name and version of the scorecard."""
        return f"{self.card.name}@{self.card.version}"

    @property
    def challenger_version(self) -> str | None:
        """Name and version of the challenger."""
        return f"{self.challenger_card.name}@{self.challenger_card.version}" if self.challenger_card else None

    @property
    def moe_version(self) -> str | None:
        """Name and version of the mixture of experts in shadow."""
        return f"{self.moe_card.name}@{self.moe_card.version}" if self.moe_card else None

    @property
    def moe_name(self) -> str:
        """What the table in shadow is, the mixture of experts or a scorecard that it replaced: its recipe's head."""
        return self.moe_card.recipe.partition(":")[0] if self.moe_card else ""


def load_models(registry: ModelRegistry) -> Models:
    """The active models.

    Raises:
        Unavailable: no scorecard is registered, or a file fails its checksum.
    """
    found = registry.load(SCORECARD)
    if found is None:
        raise Unavailable("no scorecard is registered", field=SCORECARD, remedy="Prepare it with `trivium prepare`.")
    models = read_models(found, registry.load(CHALLENGER), registry.load(MOE))
    return replace(models, sources=load_sources(registry))


Found = tuple[ModelCard, Mapping[str, Path]]  # a version in the registry


def read_models(found: Found, shadow: Found | None, moe: Found | None = None) -> Models:
    """A scorecard and what runs in its shadow, each of a certain version."""
    card, files = found
    scorecard = Scorecard.from_json(files["scorecard.json"].read_bytes())
    return Models(
        card=card,
        scorecard=scorecard,
        validation=json.loads(files["validation.json"].read_bytes()),
        policy=policy.describe(policy.POLICY, scorecard.scaling),
        challenger_card=shadow[0] if shadow else None,
        challenger=Challenger.load(shadow[1]["model.txt"]) if shadow else None,
        challenger_validation=json.loads(shadow[1]["validation.json"].read_bytes()) if shadow else {"figures": []},
        moe_card=moe[0] if moe else None,
        moe=Scorecard.from_json(moe[1]["scorecard.json"].read_bytes()) if moe else None,
        moe_validation=json.loads(moe[1]["validation.json"].read_bytes()) if moe else {"figures": []},
    )


def shadow_score(name: str, version: str, prob: float) -> schemas.ChallengerScore:
    """What a model in shadow says."""
    return schemas.ChallengerScore(name=name, model_version=version, prob_default=prob)


def scale_of(scorecard: Scorecard) -> schemas.Scale:
    """The scale's facts."""
    s = scorecard.scaling
    return schemas.Scale(base_points=s.base_points, base_odds=s.base_odds, pdo=s.pdo, factor=s.factor, offset=s.offset)


def input_sha256(application: schemas.Application) -> str:
    """Fingerprint of what was scored, for the audit: canonical JSON without the reference."""
    return sha256_of([canonical(name, plain(getattr(application, name))) for name in FINGERPRINTED])


def canonical(name: str, value: str | int | None) -> str:
    """A member of the canonical JSON: no spaces, names in order; categories are plain ASCII words."""
    return (
        f'"{name}":null' if value is None else f'"{name}":"{value}"' if isinstance(value, str) else f'"{name}":{value}'
    )


def sha256_of(members: Sequence[str]) -> str:
    """The fingerprint of canonical members in order."""
    return hashlib.sha256(f"{{{','.join(members)}}}".encode()).hexdigest()


def new_id() -> str:
    """An id for an application that has none: a version 7 UUID (RFC 9562), so that ids of one time are neighbours.

    Indexes grow at their end then; random ids would touch a page each, and a commit writes every page it touched.
    """
    stamp, tail = time.time_ns() // 1_000_000, _random.getrandbits(74)
    return f"app-{stamp << 80 | 0x7 << 76 | (tail >> 62) << 64 | 0b10 << 62 | tail & (1 << 62) - 1:032x}"


@dataclass(frozen=True)
class Assessment:
    """One scored application: numbers as arrays over the scorecard's fields, so that a long file stays small."""

    application_id: str
    values: dict[str, str | int | None]
    points_exact: float
    prob_default: float
    logit: float
    contributions: NDArray[np.float64]  # (fields,), points
    bins: NDArray[np.intp]
    woe: NDArray[np.float64]
    reasons: list[schemas.Reason]
    refer_because: list[str]
    declined_because: list[str]
    decision: schemas.Decision
    challenger_prob_default: float | None
    moe_prob_default: float | None
    reading: Reading | None = None  # of the customer's sources; None: no customer was named

    @property
    def reason_codes(self) -> tuple[str, ...]:
        """Codes of the principal reasons, largest loss first."""
        return tuple(r.code for r in self.reasons)

    @property
    def points(self) -> int:
        """Rounded points, on which the policy decides."""
        return round(self.points_exact)


def assess(
    models: Models,
    applications: Sequence[tuple[str, schemas.Application]],
    readings: Sequence[Reading | None] | None = None,
) -> list[Assessment]:
    """Score (application id, application) pairs; one and many give the same numbers.

    Args:
        readings: What the sources of each one's customer say; None: nobody named a customer.
    """
    if not applications:
        return []
    card = models.scorecard
    columns = {f.name: [plain(getattr(a, f.name)) for _, a in applications] for f in card.features}
    scores = card.score(columns)
    read = list(readings or [None] * len(applications))
    table = zip(scores.logit.tolist(), read, strict=True)
    logit_N = np.array([logit if r is None else r.add_to(logit) for logit, r in table])
    points_N, prob_N = card.scaling.points(logit_N), prob_default(logit_N)
    shadow = models.challenger.predict(columns) if models.challenger else None
    moe = models.moe.score(columns).prob_default if models.moe else None
    assessments = []
    for n, (application_id, _) in enumerate(applications):
        values = {name: column[n] for name, column in columns.items()}
        overrides = applied(models.policy.overrides, values)
        doubts = refer_because(card.features, values) + [o.reason for o in overrides if o.decision == "refer"]
        doubts += signal.doubts if (signal := read[n]) else ()
        declined = [o.reason for o in overrides if o.decision == "decline"]
        points_exact = float(points_N[n])
        assessments.append(
            Assessment(
                application_id=application_id,
                values=values,
                points_exact=points_exact,
                prob_default=float(prob_N[n]),
                logit=float(logit_N[n]),
                contributions=scores.contributions[n],
                bins=scores.bins[n],
                woe=scores.woe[n],
                reasons=principal_reasons(
                    scores.contributions[n], values, models.profile, reading=read[n], factor=card.scaling.factor
                ),
                refer_because=doubts,
                declined_because=declined,
                decision=policy.decide(round(points_exact), models.policy, doubts, declined),
                challenger_prob_default=None if shadow is None else float(shadow[n]),
                moe_prob_default=None if moe is None else float(moe[n]),
                reading=read[n],
            )
        )
    return assessments


def contributions_of(card: Scorecard, found: Assessment) -> list[schemas.Contribution]:
    """What each field adds to the score of the average applicant."""
    return [
        schemas.Contribution(
            feature=f.name,
            label=schemas.FEATURE_LABELS[f.name],
            value=found.values[f.name],
            bin=bin_text(f, int(found.bins[i])),
            woe=float(found.woe[i]),
            points=float(found.contributions[i]),
            logit=float(-found.contributions[i] / card.scaling.factor),
        )
        for i, f in enumerate(card.features)
    ]


def parts_of(card: Scorecard, found: Assessment) -> list[SourcePart]:
    """What each source adds; empty if no customer was named."""
    return tell_parts(found.reading, factor=card.scaling.factor) if found.reading else []


def respond(models: Models, found: Assessment) -> schemas.ScoreResponse:
    """The full answer about one application."""
    card, scale = models.scorecard, scale_of(models.scorecard)
    contributions, parts = contributions_of(card, found), parts_of(card, found)
    explained = {r.feature for r in found.reasons}
    shadows = [
        shadow_score(name, version, prob)
        for name, version, prob in (
            ("LightGBM", models.challenger_version, found.challenger_prob_default),
            (models.moe_name, models.moe_version, found.moe_prob_default),
        )
        if version is not None and prob is not None
    ]
    return schemas.ScoreResponse(
        application_id=found.application_id,
        points=found.points,
        points_exact=found.points_exact,
        prob_default=found.prob_default,
        logit=found.logit,
        scale=scale,
        base_points=card.base_points,
        base_logit=card.base_logit,
        contributions=contributions,
        reasons=found.reasons,
        other_points=sum(
            [c.points for c in contributions if c.feature not in explained]
            + [part.points for part in parts if part.state == "used" and part.source not in explained]
        ),
        sources=parts,
        fraud=found.reading.fraud if found.reading else None,
        synthetic=any(part.synthetic for part in parts if part.state == "used"),
        reason_profile=models.profile.version,
        decision=found.decision,
        refer_because=found.refer_because,
        declined_because=found.declined_because,
        policy=models.policy,
        challenger=next((c for c in shadows if c.name == "LightGBM"), None),
        challengers=shadows,
        model_version=models.version,
        data_note=DATA_NOTE,
    )


def refer_because(features: Sequence[ScoredFeature], values: Mapping[str, Any]) -> list[str]:
    """Why the score alone must not decide: a value that is not known, or one beyond what the model was built on."""
    doubts = []
    for f in features:
        value, label = values[f.name], schemas.FEATURE_LABELS[f.name]
        if value is None:
            doubts.append(f"{label}: not known")
        elif f.seen_low is not None and f.seen_high is not None and not f.seen_low <= value <= f.seen_high:
            doubts.append(f"{label}: outside the development sample ({f.seen_low:,g} to {f.seen_high:,g})")
    return doubts


def plain(value: Any) -> Any:
    """A category as plain str (an enum member is one), a number as int."""
    return str(value) if isinstance(value, str) else value
