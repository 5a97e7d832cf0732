"""Overrides of a policy: what the points alone must not decide, each with its reason. Ignores points.

An override can only be more careful than the score: it leaves an application to a person, or declines it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Operator = Literal["in", "not_in", "at_least", "at_most"]


class Override(BaseModel):
    """One override. A value that is not known matches none: such an application is referred in any case."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(pattern=r"^[A-Z][A-Z0-9_-]{1,15}$", examples=["K01"])
    field: str = Field(description="A scored field of the application.", examples=["purpose"])
    operator: Operator = Field(description="`in`, `not_in` for categories; `at_least`, `at_most` for numbers.")
    values: list[Annotated[str, Field(max_length=64)] | float] = Field(min_length=1, max_length=20)
    decision: Literal["refer", "decline"]
    reason: str = Field(
        min_length=10, max_length=200, description="As it is told to the applicant or to the person who decides."
    )

    def matches(self, value: Any) -> bool:
        """Whether it applies to an applicant's value."""
        if value is None:
            return False
        if self.operator in ("in", "not_in"):
            return (value in self.values) == (self.operator == "in")
        bound = float(self.values[0])
        return bool(value >= bound if self.operator == "at_least" else value <= bound)


def applied(overrides: Sequence[Override], values: Mapping[str, Any]) -> list[Override]:
    """Those that apply to one applicant's values, in the policy's order."""
    return [o for o in overrides if o.matches(values[o.field])]
