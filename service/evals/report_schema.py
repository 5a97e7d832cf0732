"""What the JSON report holds, version by version. Ignores how it is made and drawn.

`change` and its bounds are turned so that positive is better; figures are in full precision; times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal["trivium-evaluation/2"] = "trivium-evaluation/2"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgainstPart(_Part):
    """A metric beside its value in another run."""

    reference: Literal["last", "week", "baseline"]
    run_id: str
    value: float
    low: float
    high: float
    n: int
    verdict: Literal["regressed", "improved", "steady", "incomparable"]
    change: float | None
    change_low: float | None
    change_high: float | None
    p: float | None = Field(description="That nothing changed; of this metric alone.")
    q: float | None = Field(description="p, corrected for all metrics that are compared with that run.")
    num_pairs: int | None = Field(description="Examples that both runs scored; null: judged from the two intervals.")


class PointPart(_Part):
    """A value of an earlier run, for the trend."""

    run_id: str
    started_at: datetime
    value: float
    low: float
    high: float


class MetricPart(_Part):
    """A figure with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    n: int
    higher_is_better: bool
    baseline: str | None = Field(description="What the suite holds it against, in words.")
    baseline_value: float | None
    verdict: Literal["regressed", "improved", "steady", "new", "incomparable"]
    against: list[AgainstPart]
    trend: list[PointPart]


class SlicePart(_Part):
    """The examples that share a property; a mean with its interval, not tested."""

    name: str
    value_of: str = Field(description="The property's value.")
    metric: str
    value: float
    low: float
    high: float
    n: int
    last_value: float | None


class ExamplePart(_Part):
    """An example that is scored otherwise than in the last run."""

    id: str
    change: float = Field(description="Sum over its scores; negative: worse.")
    before: dict[str, float]
    now: dict[str, float]
    shown_before: str = Field(description="Personal data is masked.")
    shown_now: str


class CostPart(_Part):
    """What a suite took."""

    tokens: int
    cpu_s: float
    peak_mb: float


class SuitePart(_Part):
    """A suite: how it ended, its figures, slices and changed examples."""

    name: str
    dataset: str
    split: str
    solver: str
    scorer: str
    status: Literal["ok", "skipped", "failed"]
    reason: str | None
    duration_s: float
    cost: CostPart | None
    last_duration_s: float | None
    last_cost: CostPart | None
    losses: list[str]
    note: str | None
    metrics: list[MetricPart]
    slices: list[SlicePart]
    num_examples: int
    num_moved: int = Field(description="Examples that are scored otherwise than in the last run.")
    moved: list[ExamplePart] = Field(description="Of these, the worst first.")


class DomainPart(_Part):
    """A vertical, the core, or a plug-in."""

    name: str
    suites: list[SuitePart]


class GonePart(_Part):
    """A suite of the last run that this one has no more."""

    domain: str
    suite: str


class SummaryPart(_Part):
    """Counts of metrics by verdict and of suites by status; `alarms` is what needs attention."""

    alarms: int
    metrics: int
    regressed: int
    improved: int
    steady: int
    new: int
    incomparable: int
    ok: int
    failed: int
    skipped: int


class RunPart(_Part):
    """The run itself."""

    run_id: str
    started_at: datetime
    duration_s: float
    git_version: str | None
    models: dict[str, str]
    machine: dict[str, Any]
    target: str | None = Field(description="The live API that was judged; null: this installation.")
    last_run_ids: list[str] = Field(description="More than one when domains were last run apart.")
    week_run_id: str | None
    baseline_run_id: str | None
    families: dict[str, int] = Field(description="How many metrics were judged together, by the run compared with.")
    exit_code: int


class Report(_Part):
    """One evaluation run."""

    format: Literal["trivium-evaluation/2"]
    run: RunPart
    summary: SummaryPart
    gone: list[GonePart]
    domains: list[DomainPart]
