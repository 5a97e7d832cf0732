"""Which signals are alarms, from when and until when: rules as data. Ignores where signals come from.

A rule goes on beyond its upper threshold and off only within the lower one (hysteresis), each after a while. A
threshold is fixed, or follows what is normal: the rolling median plus so many scaled median absolute deviations (Leys
et al. 2013, doi:10.1016/j.jesp.2013.03.013), or an exponentially weighted mean plus so many standard deviations
(Roberts 1959).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from verticals.broken_rules import first_of
from verticals.contract import InvalidInput

SHIPPED = Path(__file__).with_name("rules.json")
MAD_TO_SD = 1.4826  # of a normal distribution


class Limits(NamedTuple):
    """Where an alarm goes on and off; for a rule on what is too low, `on` is the lower number."""

    on: float
    off: float


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fixed(_Model):
    """The same numbers always."""

    kind: Literal["fixed"]
    on: float
    off: float

    @property
    def window_s(self) -> float:
        """Seconds of the past that it looks at."""
        return 0.0

    def limits(self, _history: Sequence[tuple[float, float]], *, sign: int) -> Limits | None:
        """The limits."""
        return Limits(self.on, self.off)


class _Dynamic(_Model):
    on: float = Field(gt=0, description="Deviations from normal at which it goes on.")
    off: float = Field(gt=0)
    min_samples: int = Field(ge=10, description="Fewer samples of what is normal, and nothing is judged.")
    least: float = Field(gt=0, description="The least distance from normal that matters at all, in the signal's unit.")

    def _around(self, centre: float, deviation: float, *, sign: int) -> Limits:
        """`on` deviations away, but at least `least`; `off` keeps its proportion."""
        distance = max(self.on * deviation, self.least)
        return Limits(centre + sign * distance, centre + sign * distance * self.off / self.on)


class Median(_Dynamic):
    """Rolling median and median absolute deviation: some outliers in the window change neither."""

    kind: Literal["median"]
    window_s: float = Field(gt=0)

    def limits(self, history: Sequence[tuple[float, float]], *, sign: int) -> Limits | None:
        """The limits after `history`, (seconds, value) pairs; None while there is too little of it."""
        if len(history) < self.min_samples:
            return None
        values = np.array([value for _, value in history])
        centre = float(np.median(values))
        return self._around(centre, MAD_TO_SD * float(np.median(np.abs(values - centre))), sign=sign)


class Ewma(_Dynamic):
    """Mean and standard deviation whose weights halve every `half_life_s`: follows a level that moves slowly."""

    kind: Literal["ewma"]
    half_life_s: float = Field(gt=0)

    @property
    def window_s(self) -> float:
        """Seconds of the past that it looks at: what is older has less than a sixtieth of the weight."""
        return 6 * self.half_life_s

    def limits(self, history: Sequence[tuple[float, float]], *, sign: int) -> Limits | None:
        """As `Median.limits`."""
        if len(history) < self.min_samples:
            return None
        times, values = np.array(history).T
        weights = 0.5 ** ((times[-1] - times) / self.half_life_s)
        mean = float(np.average(values, weights=weights))
        return self._around(mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights))), sign=sign)


Threshold = Annotated[Fixed | Median | Ewma, Field(discriminator="kind")]


class Rule(_Model):
    """One rule.

    Attributes:
        for_s: How long a value must be beyond the threshold, and within the lower one, before that counts.
        min_weight: Cases that a value must rest on to be judged.
        action: What the service does by itself while the alarm is on.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,62}$")
    signal: str
    side: Literal["above", "below"]
    severity: Literal["warning", "critical"]
    threshold: Threshold
    for_s: float = Field(ge=0)
    min_weight: float = Field(ge=0)
    action: Literal["rebalance"] | None = None

    @model_validator(mode="after")
    def _off_is_within_on(self) -> Self:
        t = self.threshold
        beyond = self.sign * (t.on - t.off) if isinstance(t, Fixed) else t.on - t.off
        if beyond < 0:
            raise ValueError(f"threshold: off must not lie beyond on (got on={t.on}, off={t.off})")
        return self

    @property
    def sign(self) -> int:
        """1 for what is too high, -1 for what is too low."""
        return 1 if self.side == "above" else -1

    def is_on(self, value: float, limits: Limits) -> bool:
        """Whether a value is beyond the threshold."""
        return self.sign * (value - limits.on) > 0

    def is_off(self, value: float, limits: Limits) -> bool:
        """Whether it is within the lower one."""
        return self.sign * (value - limits.off) <= 0


def read_rules(path: Path | None, *, signals: Sequence[str]) -> list[Rule]:
    """The rules of a JSON file, or those that are shipped.

    Raises:
        InvalidInput: a file that cannot be read, a rule that breaks the form, two of a name, or an unknown signal.
    """
    broken = partial(
        InvalidInput, field="TRIVIUM_ALARM_RULES", remedy=f"Correct {path or SHIPPED} (docs/monitoring.md)."
    )
    try:
        found = TypeAdapter(list[Rule]).validate_python(json.loads((path or SHIPPED).read_text(encoding="utf-8")))
    except ValidationError as error:
        raise broken("rule {}: {}".format(*first_of(error, whole="file"))) from None
    except (OSError, ValueError) as error:
        raise broken(f"cannot be read ({type(error).__name__})") from None
    names = [rule.name for rule in found]
    for rule in found:
        if names.count(rule.name) > 1:
            raise broken("rules need different names", value=rule.name)
        if rule.signal not in signals:
            known = ", ".join(sorted(signals))
            raise broken(f"signal must be one of {known}", value=rule.signal)
    return found
