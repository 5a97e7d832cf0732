"""The operation `simulate`: which sample, which two policies, and what comes of them. Computes no figure itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.contract import Context, InvalidInput
from verticals.finance import schemas, strategy
from verticals.finance.data import DATA_NOTE, load_german
from verticals.finance.overrides import applied
from verticals.finance.policies import PolicyBook
from verticals.finance.policy import decide
from verticals.finance.policy_schemas import SimulatedSample, SimulateRequest, SimulateResponse
from verticals.finance.scoring import Models

NOTES = (
    "Nobody reacts: applicants are assumed to come and to behave as they did.",
    "Only applicants with a known outcome are simulated; whoever was never granted credit is not among them.",
    "Referred applicants earn and lose nothing here: what a person decides is not known.",
)


class StrategyDesk:
    """`models`: what serves the caller, with the policy in force."""

    def __init__(self, models: Callable[[Context], Models], book: PolicyBook) -> None:
        self._models = models
        self._book = book

    def simulate(self, request: SimulateRequest, context: Context) -> SimulateResponse:
        """A proposed policy beside the active one, on applicants whose outcome is known.

        Raises:
            InvalidInput: neither or both of version and cut-offs, or columns of different lengths.
            NotFound: no such version.
        """
        models = self._models(context)
        proposed, notes = self._proposed(request, models.policy, context), list(NOTES)
        if request.sample is not None:
            points, default, amount = _columns(request.sample)
            fields, named = None, f"{len(points):,} applicants of the request"
            if models.policy.overrides or proposed.overrides:
                notes.append("Overrides were not applied: the sample has no fields.")
        else:
            fields, known = load_german()
            points = np.array(models.validation["out_of_fold"]["points"])
            default, amount = known.astype(float), fields["credit_amount_dm"].to_numpy(float)
            named = "development sample, out of fold, amounts in DM"
            notes.append(DATA_NOTE)
        sample = strategy.outcomes(
            points, default, amount, loss_given_default=request.loss_given_default, margin=request.margin
        )
        before, after = (_decisions(sample.points, policy, fields) for policy in (models.policy, proposed))
        approved = [decisions == "approve" for decisions in (before, after)]
        return SimulateResponse(
            sample=named,
            n=len(points),
            model_version=models.version,
            current=strategy.outcome(sample, before, models.policy),
            proposed=strategy.outcome(sample, after, proposed),
            swap_in=strategy.swap_set(sample, approved[1] & ~approved[0]),
            swap_out=strategy.swap_set(sample, approved[0] & ~approved[1]),
            migration=strategy.migration(sample, before, after),
            profit_change=strategy.profit_change(sample, before, after),
            curve=strategy.curve(sample, extra=(models.policy.approve_at, proposed.approve_at)),
            notes=notes,
        )

    def _proposed(self, request: SimulateRequest, active: schemas.Policy, context: Context) -> schemas.Policy:
        if (request.version is None) == (request.approve_at is None):
            raise InvalidInput(
                "either a stored version or cut-offs", field="version", remedy="Give version, or approve_at."
            )
        if request.version is not None:
            return self._book.get(context.tenant, request.version)
        decline_below = active.decline_below if request.decline_below is None else request.decline_below
        if request.approve_at is None or decline_below > request.approve_at:
            raise InvalidInput(
                f"must be at least decline_below ({decline_below})",
                field="approve_at",
                value=request.approve_at,
                remedy="Give both cut-offs.",
            )
        update = {"version": "proposed", "approve_at": request.approve_at, "decline_below": decline_below}
        return active.model_copy(update=update)


def _columns(sample: SimulatedSample) -> tuple[NDArray[np.float64], ...]:
    lengths = {name: len(values) for name, values in sample.model_dump().items() if values is not None}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"columns must have one length, not {lengths}", field="sample")
    amount = [1.0] * len(sample.points) if sample.amount is None else sample.amount
    return np.array(sample.points), np.array(sample.default, dtype=float), np.array(amount)


def _decisions(points: NDArray[np.int64], policy: schemas.Policy, fields: pd.DataFrame | None) -> NDArray[np.object_]:
    """The policy's decision on each applicant, (N,); overrides only where the fields are known."""
    rows = fields.to_dict("records") if fields is not None and policy.overrides else None
    decided = []
    for i, p in enumerate(points.tolist()):
        overrides = applied(policy.overrides, {str(k): v for k, v in rows[i].items()}) if rows else []
        refer, decline = ([o.reason for o in overrides if o.decision == d] for d in ("refer", "decline"))
        decided.append(decide(p, policy, refer, decline))
    return np.array(decided, dtype=object)
