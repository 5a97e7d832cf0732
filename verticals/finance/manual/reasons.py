"""The reasons for which a person may decide otherwise, in both languages. Ignores who decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from verticals.finance.schemas import Decision, Direction

ManualDecision = Literal["approve", "decline"]
Code = Literal["M01", "M02", "M03", "M04", "M05", "M06", "M07", "M08"]


@dataclass(frozen=True)
class ManualReason:
    """A reason, and which decisions it can stand for."""

    text: str
    text_zh: str
    decisions: tuple[ManualDecision, ...]


REASONS: Mapping[Code, ManualReason] = {
    "M01": ManualReason("Income or assets were verified beyond the score", "已核实评分未知的收入或资产", ("approve",)),
    "M02": ManualReason("Collateral or a guarantor was added", "已增加抵押或担保人", ("approve",)),
    "M03": ManualReason("A known customer with a good record", "记录良好的老客户", ("approve",)),
    "M04": ManualReason("The missing information was obtained", "已取得缺失的信息", ("approve", "decline")),
    "M05": ManualReason("A field of the application was wrong", "申请中的字段有误", ("approve", "decline")),
    "M06": ManualReason("Information from elsewhere speaks against it", "其他来源的信息不利", ("decline",)),
    "M07": ManualReason("Fraud is suspected", "怀疑欺诈", ("decline",)),
    "M08": ManualReason("The total exposure would be too high", "总授信额度过高", ("decline",)),
}  # fmt: skip
"""By code. None is a ground on which a credit may not be decided; sex, age, origin and the like have no code."""


def direction_of(automatic: Decision, manual: ManualDecision) -> Direction:
    """What kind of override it is, as monitoring counts it (Siddiqi 2017, chapter 13)."""
    if automatic == "refer":
        return "referral"
    return "low_side" if manual == "approve" else "high_side"
