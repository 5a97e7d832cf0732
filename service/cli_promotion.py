"""The commands that change which credit model serves: promote the table in shadow, and take that back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli_admin import EXIT_FAILED, Tenant
from service.cli_parts import open_parts

if TYPE_CHECKING:
    from verticals.finance.promotion import Evidence

promotion_app = typer.Typer()

Reason = Annotated[str, typer.Option(help="Why; kept in the audit trail.")]
_FOLLOWED = "A server that runs follows within a second."


@promotion_app.command()
def promote(
    reason: Reason,
    tenant: Tenant = "demo",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is done.")] = False,
) -> None:
    """Make the table in shadow the champion, and the champion a challenger; the evidence is shown before."""
    from verticals.finance import promotion
    from verticals.finance.handlers import Finance

    with open_parts() as parts:
        policy = Finance(parts.registry, parts.sessions).policies.active(tenant)
        evidence = promotion.weigh(parts.registry, policy)
        for line in _told(evidence):
            print(line)
        if evidence.refused:
            raise typer.Exit(EXIT_FAILED)
        if not yes:
            typer.confirm("Promote it?", abort=True)
        promotion.promote(parts.registry, parts.context(tenant), evidence, reason=reason, policy_version=policy.version)
    print(f"{evidence.contender} serves, {evidence.champion} is in its shadow. {_FOLLOWED}")


@promotion_app.command("roll-back")
def roll_back(reason: Reason, tenant: Tenant = "demo") -> None:
    """Take the last promotion back."""
    from verticals.finance import promotion
    from verticals.finance.handlers import Finance

    with open_parts() as parts:
        policy = Finance(parts.registry, parts.sessions).policies.active(tenant)
        last = max(parts.audit.of_kind(tenant, promotion.KIND), key=lambda entry: entry["sequence"], default=None)
        promotion.roll_back(parts.registry, parts.context(tenant), last, reason=reason, policy_version=policy.version)
    print(f"The champion before serves again. {_FOLLOWED}")


def _told(found: Evidence) -> list[str]:
    gain, low, high = found.auc_gain
    green, yellow, red = found.grades
    lines = [
        f"{found.contender} in place of {found.champion}; out of fold, {found.num_rows:,} rows of development",
        f"AUC gained: {gain:+.4f} (95 % {low:+.4f} to {high:+.4f}, paired)",
        f"calibration: slope {found.slope:.2f} (± {found.slope_half:.2f}); "
        f"tenths {green} green, {yellow} yellow, {red} red",
        f"points from SQL: at most {found.points_apart:.1g} from ours",
        f"policy, approve at {found.approve_at}, decline below {found.decline_below}:",
    ]
    for when, side in (("now", found.before), ("then", found.after)):
        bad = f"{side.bad_rate:.1%} of these bad ({side.low:.1%} to {side.high:.1%})"
        lines.append(f"  {when}: {side.approved:.1%} approved, {bad}; {side.declined:.1%} declined")
    return lines + [f"REFUSED: {why}" for why in found.refused]
