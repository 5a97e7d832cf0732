"""The findings as rows of words in English and Chinese, as a page prints them. Ignores the page."""

from __future__ import annotations

from verticals.medical.evidence import EvidenceGraph, Finding
from verticals.medical.vocabulary import KINDS, SITES

START = "Table of findings 所见列表"
END = "End of the table 列表结束"
HEADER = (
    *("Id 编号", "Finding 所见", "Presence 有无", "Site 部位", "Side 侧别"),
    *("Size 大小", "Probability 概率", "Said by 来源"),
)
NOTHING = "–"
_PRESENCE = {"present": "present 有", "absent": "absent 无", "uncertain": "uncertain 不确定"}
_SIDES = {"left": "left 左", "right": "right 右", "both": "both 双侧"}
_SIZES = {"diameter": "diameter 直径", "area": "area 面积", "volume": "volume 体积"}
_UNITS = {"mm": "mm", "mm2": "mm²", "mm3": "mm³"}


def rows(graph: EvidenceGraph) -> list[tuple[str, ...]]:
    """One row a finding, in the graph's order; numbers to six digits, probabilities to three places."""
    return [_row(finding) for finding in graph.findings]


def _row(finding: Finding) -> tuple[str, ...]:
    kind = KINDS[finding.kind]
    site = SITES[finding.site] if finding.site is not None else None
    sizes = [f"{_SIZES[m.name]} {m.value:.6g} {_UNITS[m.unit]}" for m in finding.measurements]
    doubt = f" {{{', '.join(finding.confidence_set)}}}" if finding.confidence_set else ""
    probability = NOTHING if finding.prob is None else f"{finding.prob:.3f}"
    return (
        finding.finding_id,
        f"{kind.english} {kind.chinese}",
        _PRESENCE[finding.presence],
        NOTHING if site is None else f"{site.english} {site.chinese}",
        NOTHING if finding.side is None else _SIDES[finding.side],
        "; ".join(sizes) or NOTHING,
        probability + doubt,
        finding.model,
    )
