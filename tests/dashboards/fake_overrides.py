"""Made-up manual decisions over a list of decisions: with four eyes where something declined would be approved."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from verticals.contract import Context, Handler, NotFound, PermissionDenied
from verticals.finance import schemas as s
from verticals.finance.manual import schemas as m
from verticals.finance.manual.reasons import REASONS, direction_of


def handlers(decided: list[s.DecisionItem]) -> dict[str, Handler]:
    """Handlers with their own memory."""
    made: list[m.ManualOverride] = []

    def find(application_id: str) -> list[s.DecisionItem]:
        found = [one for one in decided if one.application_id == application_id]
        if not found:
            raise NotFound("was never scored here", field="application_id", value=application_id)
        return found

    def override(request: m.OverrideRequest, context: Context) -> m.ManualOverride:
        automatic, reason = find(request.application_id)[0].decision, REASONS[request.reason]
        direction = direction_of(automatic, request.decision)
        made.append(
            m.ManualOverride(
                override_id=f"override-{len(made)}",
                automatic=automatic,
                direction=direction,
                reason_text=reason.text,
                reason_text_zh=reason.text_zh,
                state="proposed" if direction == "low_side" else "in_force",
                decided_by="key-other",
                decided_at=datetime(2026, 11, 30, tzinfo=UTC),
                second_by=None,
                second_text=None,
                second_at=None,
                **request.model_dump(),
            )
        )
        return made[-1]

    def confirm(request: m.ConfirmRequest, context: Context) -> m.ManualOverride:
        place = next(i for i, one in enumerate(made) if one.override_id == request.override_id)
        if made[place].decided_by == context.actor:
            raise PermissionDenied("must be another key")
        told: dict[str, Any] = {"second_by": context.actor, "second_text": request.text, "second_at": datetime.now(UTC)}
        state = "in_force" if request.agree else "rejected"
        made[place] = made[place].model_copy(update={"state": state, **told})
        return made[place]

    def record(request: m.RecordRequest, _context: Context) -> m.ApplicationRecord:
        mine = [one for one in made if one.application_id == request.application_id]
        found = find(request.application_id)
        scorings = [m.ScoredItem(**one.model_dump(), overrides=mine if i == 0 else []) for i, one in enumerate(found)]
        held = [one for one in mine if one.state == "in_force"]
        return m.ApplicationRecord(
            application_id=request.application_id,
            scorings=scorings,
            decision=held[-1].decision if held else found[0].decision,
            decided_by=held[-1].decided_by if held else None,
        )

    def proposed(request: m.ProposedRequest, _context: Context) -> m.ProposedPage:
        waiting = [one for one in made if one.state == "proposed"]
        return m.ProposedPage(items=waiting, total=len(waiting), limit=request.limit, offset=request.offset)

    return {
        "override_decision": override,
        "confirm_override": confirm,
        "application_record": record,
        "proposed_overrides": proposed,
    }
