"""What makes up a score, exactly, and what the policy would decide; nothing is recorded."""

from __future__ import annotations

from verticals.finance import schemas, serving_schemas
from verticals.finance.data import DATA_NOTE
from verticals.finance.scoring import Models, assess, contributions_of, parts_of
from verticals.finance.sources.reading import Reading


def explain(
    models: Models, application: schemas.Application, reading: Reading | None = None
) -> serving_schemas.ExplainResponse:
    """Contributions and reasons of one application; `reading` is of its customer's sources."""
    [found] = assess(models, [("explained", application)], [reading])
    return serving_schemas.ExplainResponse(
        points=found.points,
        points_exact=found.points_exact,
        prob_default=found.prob_default,
        logit=found.logit,
        base_points=models.scorecard.base_points,
        base_logit=models.scorecard.base_logit,
        contributions=contributions_of(models.scorecard, found),
        sources=parts_of(models.scorecard, found),
        fraud=reading.fraud if reading else None,
        reasons=found.reasons,
        decision=found.decision,
        refer_because=found.refer_because,
        declined_because=found.declined_because,
        policy_version=models.policy.version,
        reason_profile=models.profile.version,
        reason_source=models.profile.source,
        model_version=models.version,
        data_note=DATA_NOTE,
    )
