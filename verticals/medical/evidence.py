"""The evidence graph: every finding with its site, side, size, certainty, region and model. Ignores where it is from.

Findings models fill it, the language step may say nothing else, `verify` holds the text against it, and every export
is printed from it. It is stored inside the report's version, so a signed report's evidence cannot change either.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from verticals.medical.vocabulary import KINDS, SITES

READER = "reader"  # the model of what a person adds
UNITS: dict[str, Literal["mm", "mm2", "mm3"]] = {"diameter": "mm", "area": "mm2", "volume": "mm3"}  # of measurements

Side = Literal["left", "right", "both"]
Presence = Literal["present", "absent", "uncertain"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Region(_Frozen):
    """Where a finding lies in one frame of one stored object.

    Coordinates are pixels of the stored image, (column, row), the centre of the first pixel at (0.5, 0.5), as DICOM's
    SCOORD has them (PS3.3 C.18.6.1.1): a polyline is closed, its last point repeats the first.
    """

    sop_instance_uid: str = Field(max_length=64)
    frame: int = Field(1, ge=1, description="Counts from 1.")
    shape: Literal["point", "polyline"]
    points: tuple[tuple[float, float], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_closed(self) -> Self:
        if self.shape == "point" and len(self.points) != 1:
            raise ValueError("points: a point has exactly one")
        if self.shape == "polyline" and (len(self.points) < 4 or self.points[0] != self.points[-1]):
            raise ValueError("points: a region is closed: its last point repeats its first")
        return self

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        columns, rows = zip(*self.points, strict=True)
        return min(columns), min(rows), max(columns), max(rows)


class Measurement(_Frozen):
    """One measured number of a finding; of a model's own region, or of a person's caliper."""

    name: Literal["diameter", "volume", "area"]
    value: float = Field(gt=0, allow_inf_nan=False)
    unit: Literal["mm", "mm2", "mm3"]

    @model_validator(mode="after")
    def _unit_fits(self) -> Self:
        if self.unit != UNITS[self.name]:
            raise ValueError(f"unit: {self.name} is in {UNITS[self.name]}")
        return self


class Finding(_Frozen):
    """One thing that is, is not, or may be there.

    Attributes:
        finding_id: Unique in its graph; sentences, SR, FHIR and segmentations name it.
        kind: A key of `vocabulary.KINDS`, which gives its words and code.
        site: A key of `vocabulary.SITES` that the kind allows; None: not told.
        side: None: not told, or a site that has none.
        prob: Calibrated probability that it is present; None: no model with a validated probability said so.
        confidence_set: What the class-conditional conformal set at 90 % holds: one is an answer, both are a doubt.
        model: Name and version of what said so; `READER` for what a person adds.
    """

    finding_id: str = Field(pattern=r"^f[1-9][0-9]{0,3}$")
    kind: str
    presence: Presence
    site: str | None = None
    side: Side | None = None
    prob: Share | None = None
    confidence_set: tuple[Literal["present", "absent"], ...] = ()
    measurements: tuple[Measurement, ...] = ()
    regions: tuple[Region, ...] = ()
    model: str = Field(min_length=1, max_length=120)

    @model_validator(mode="after")
    def _fits_vocabulary(self) -> Self:
        if (kind := KINDS.get(self.kind)) is None:
            raise ValueError(f"kind: {self.kind!r} is not in the vocabulary")
        if self.site is not None and self.site not in kind.sites:
            raise ValueError(f"site: {self.site!r} is not a site of {self.kind}; one of {', '.join(kind.sites)}")
        if self.side is not None and (self.site is None or not SITES[self.site].is_paired):
            raise ValueError(f"side: {self.side!r} needs a paired site, not {self.site!r}")
        if self.presence == "absent" and (self.measurements or self.regions):
            raise ValueError("presence: what is absent has no size and no region")
        return self


class EvidenceGraph(_Frozen):
    """All findings of one study, in the order in which the report names them."""

    findings: tuple[Finding, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [f.finding_id for f in self.findings]
        if len(set(ids)) < len(ids):
            raise ValueError("findings: two have the same finding_id")
        return self

    def without_regions(self) -> EvidenceGraph:
        """What every exported format can say: FHIR R4B and a page of text have no place for outlines."""
        return EvidenceGraph(findings=tuple(f.model_copy(update={"regions": ()}) for f in self.findings))

    def __getitem__(self, finding_id: str) -> Finding:
        for finding in self.findings:
            if finding.finding_id == finding_id:
                return finding
        raise KeyError(finding_id)


NO_EVIDENCE = EvidenceGraph(findings=())
