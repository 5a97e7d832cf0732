"""From points to approve, refer or decline, by costs that are stated. Ignores where the points come from.

Chow's rule (1970, On optimum recognition error and reject tradeoff): decide when the expected cost of the better
decision is at most the cost of a review, else hand over to a person. With the cost matrix of Statlog, published with
the data (a bad credit approved costs 5, a good one declined costs 1):

    approve  if  5 p       <= review cost
    decline  if  1 (1 - p) <= review cost
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from verticals.contract import InvalidInput
from verticals.finance import schemas
from verticals.finance.scaling import Scaling
from verticals.finance.sources.names import SOURCES, Mode, Source

if TYPE_CHECKING:
    from verticals.finance.policy_schemas import PolicyDraft


@dataclass(frozen=True)
class PolicyData:
    """A dated version of the policy. The cut-offs follow from the costs; they are not typed in."""

    name: str
    version: str
    effective_from: date
    cost_bad_approved: float
    cost_good_declined: float
    cost_review: float
    source: str
    sources: Mapping[Source, Mode] = field(default_factory=dict)  # one that is not named is off

    def cut_offs(self, scaling: Scaling) -> tuple[int, int]:
        """(approve at or above, decline below), in whole points, rounded towards review."""
        approve_p = self.cost_review / self.cost_bad_approved
        decline_p = 1 - self.cost_review / self.cost_good_declined
        return math.ceil(scaling.points_at(approve_p)), math.floor(scaling.points_at(decline_p))


_TABLE_ALONE = PolicyData(
    name="consumer-credit",
    version="2026-11-01",
    effective_from=date(2026, 11, 1),
    cost_bad_approved=5.0,
    cost_good_declined=1.0,
    cost_review=0.5,
    source="Costs 5:1 from the documentation of Statlog German Credit; a review at half the cost of a lost good "
    "customer is our assumption, for the policy's owner to change",
)
POLICY = replace(
    _TABLE_ALONE,
    version="2026-11-30",
    effective_from=date(2026, 11, 30),
    source=f"{_TABLE_ALONE.source}. All sources count; a term learned from simulated outcomes does so for simulated "
    "customers alone (verticals/finance/sources/reading.py)",
    sources=dict.fromkeys(SOURCES, "use"),
)
BUILT_IN: Mapping[str, PolicyData] = {policy.version: policy for policy in (_TABLE_ALONE, POLICY)}
"""Every version that came with the product; the last is in force until a tenant activates another."""


_RULE = (
    "Refer whenever a value is not known or lies outside the development sample, whenever fraud is suspected of the "
    "customer, and whenever an override says so. An override may also decline."
)


def describe(policy: PolicyData, scaling: Scaling) -> schemas.Policy:
    """The policy on a scale, for a reader."""
    approve_at, decline_below = policy.cut_offs(scaling)
    return schemas.Policy(
        name=policy.name,
        version=policy.version,
        effective_from=policy.effective_from,
        approve_at=approve_at,
        decline_below=decline_below,
        cost_bad_approved=policy.cost_bad_approved,
        cost_good_declined=policy.cost_good_declined,
        cost_review=policy.cost_review,
        rule="Approve or decline when the expected cost of doing so is at most the cost of a review; refer in between "
        f"(Chow 1970). {_RULE}",
        source=policy.source,
        sources=dict(policy.sources),
    )


def resolve(draft: PolicyDraft, scaling: Scaling) -> schemas.Policy:
    """A draft on a scale: with its own cut-offs, or those that follow from its costs.

    Raises:
        InvalidInput: a review that costs more than a wrong decision, or cut-offs that cross.
    """
    limit = min(draft.cost_bad_approved, draft.cost_good_declined)
    if draft.cost_review >= limit:
        raise InvalidInput(
            f"must be below both other costs ({limit:g}), or nothing would be reviewed",
            field="cost_review",
            value=draft.cost_review,
        )
    data = PolicyData(
        name=POLICY.name,
        version=draft.version,
        effective_from=draft.effective_from,
        cost_bad_approved=draft.cost_bad_approved,
        cost_good_declined=draft.cost_good_declined,
        cost_review=draft.cost_review,
        source=draft.source,
    )
    found = describe(data, scaling)
    if draft.approve_at is not None and draft.decline_below is not None:
        cut_offs = {"approve_at": draft.approve_at, "decline_below": draft.decline_below}
        rule = f"Approve, refer or decline by cut-offs that the policy's owner set. {_RULE}"
        found = found.model_copy(update={**cut_offs, "rule": rule})
    if found.decline_below > found.approve_at:
        raise InvalidInput(
            "decline_below must not exceed approve_at",
            field="approve_at",
            value=f"{found.approve_at}, {found.decline_below}",
            remedy="Lower cost_review, or set the cut-offs.",
        )
    return found.model_copy(
        update={
            "overrides": draft.overrides,
            "four_eyes": sorted(set(draft.four_eyes)),
            "sources": draft.sources,
        }
    )


def decide(
    points: int, policy: schemas.Policy, refer_because: Sequence[str], declined_because: Sequence[str] = ()
) -> schemas.Decision:
    """The decision at rounded `points`; any entry in `refer_because` leaves it to a person, whatever else declines."""
    if refer_because:
        return "refer"
    if declined_because:
        return "decline"
    if points >= policy.approve_at:
        return "approve"
    return "decline" if points < policy.decline_below else "refer"
