"""Made-up few-shot handlers: one finding of three methods, its switches in memory. SYNTHETIC figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from verticals.contract import Conflict, Handler, InvalidInput
from verticals.medical.fewshot import schemas as f

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
# As `validation.refusals` says it.
NOT_BETTER = "it is not shown to be better than the linear probe: the lower bound of the difference is -0.020"
NOT_GOOD = "the lower bound of its AUC is 0.612, and must be at least 0.70"


def figure(value: float, half: float = 0.06) -> f.Figure:
    """With an interval of so much to either side."""
    return f.Figure(value=value, low=round(value - half, 3), high=round(min(value + half, 1), 3))


def version(
    method: f.MethodName, number: int, *, auc: float, refusals: list[str], data_sha256: str = "d" * 64
) -> f.TrainedVersion:
    """One method's version."""
    return f.TrainedVersion(
        version=f"{number:012x}",
        method=method,
        modality="DX",
        body_part="CHEST",
        licence="own images, research",
        data_sha256=data_sha256,
        train=f.Counts(images=50, patients=50, present=25, absent=25),
        validation=f.Counts(images=60, patients=58, present=28, absent=30),
        figures=f.Figures(
            auc=figure(auc),
            gain=None if method == "linear probe" else figure(auc - 0.84, 0.03),
            calibration_error=figure(0.07, 0.03),
            coverage_present=figure(0.9),
            coverage_absent=figure(0.91),
            one_answer=figure(0.55),
            gate_passed=figure(0.95, 0.04),
            roc=[(0.0, 0.0), (0.1, 0.5), (0.3, 0.8), (1.0, 1.0)],
            present=[0] * 10 + [1, 2, 3, 3, 4, 4, 4, 3, 2, 2],
            absent=[6, 5, 4, 4, 3, 3, 2, 2, 1, 0] + [0] * 10,
        ),
        refusals=refusals,
        limits="Learned from 50 images and validated on 60 of the same source; other devices and people were not seen. "
        "The probability is calibrated to a share of 47% with the finding. Never in a report. "
        "Research software, not a medical device.",
        trained_at=NOW,
        enabled=False,
    )


class _Studio:
    """Findings in memory."""

    def __init__(self, *, filled: bool) -> None:
        versions = [
            version("adapter", 3, auc=0.835, refusals=[NOT_BETTER]),
            version("prompt tuning", 2, auc=0.845, refusals=[NOT_BETTER]),
            version("linear probe", 1, auc=0.84, refusals=[]),
        ]
        first = f.FewShotFinding(finding="pectus excavatum", enabled=None, versions=versions, switches=[])
        self.findings = {first.finding: first} if filled else {}

    def list(self, _request: Any) -> f.FewShotResponse:
        return f.FewShotResponse(least_auc=0.7, findings=list(self.findings.values()))

    def train(self, request: Any) -> f.FindingResponse:
        if request.file.open().read(2) != b"PK":
            raise InvalidInput("must be a ZIP archive", field="archive", remedy="Pack images and labels.csv.")
        poor = version("linear probe", 9, auc=0.672, refusals=[NOT_GOOD], data_sha256="e" * 64)
        made = f.FewShotFinding(finding=request.finding, enabled=None, versions=[poor], switches=[])
        self.findings[request.finding] = made
        return f.FindingResponse(finding=made)

    def switch(self, request: Any, step: f.Step, wanted: str | None) -> f.FindingResponse:
        found = self.findings[request.finding]
        if found.enabled == wanted:
            raise Conflict("is so already", field="version", value=wanted)
        told = f.FewShotSwitch(step=step, version=wanted, name=request.name, reason=request.reason, at=NOW)
        versions = [one.model_copy(update={"enabled": one.version == wanted}) for one in found.versions]
        made = f.FewShotFinding(
            finding=found.finding, enabled=wanted, versions=versions, switches=[told, *found.switches]
        )
        self.findings[request.finding] = made
        return f.FindingResponse(finding=made)

    def roll_back(self, request: Any) -> f.FindingResponse:
        before = self.findings[request.finding].switches[1:]
        return self.switch(request, "roll back", before[0].version if before else None)

    def read(self, request: f.ReadFewShotRequest) -> f.ReadFewShotResponse:
        readings = [
            f.FewShotReading(
                finding=one.finding, version=one.enabled, method="linear probe", prob=0.81,
                confidence_set=["present"], share_present=0.47, auc=figure(0.84),
            )
            for one in self.findings.values()
            if one.enabled is not None
        ]  # fmt: skip
        return f.ReadFewShotResponse(study_id=request.study_id, instance_id="i-1", frame=1, readings=readings)


def handlers(*, filled: bool) -> Mapping[str, Handler]:
    """Handlers over one studio."""
    studio = _Studio(filled=filled)
    return {
        "list_few_shot": lambda request, _context: studio.list(request),
        "train_few_shot": lambda request, _context: studio.train(request),
        "enable_few_shot": lambda request, _context: studio.switch(request, "enable", request.version),
        "disable_few_shot": lambda request, _context: studio.switch(request, "disable", None),
        "roll_back_few_shot": lambda request, _context: studio.roll_back(request),
        "read_few_shot": lambda request, _context: studio.read(request),
    }
