"""The model document: model card and evidence as headings, paragraphs and tables, and as Markdown. Types in nothing.

Every number and version comes from the card or the report; the sentences here only say what they are. Ignores layout
on paper, which is pdf.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verticals.finance.schemas import ModelResponse
from verticals.finance.validation.schemas import EvidenceRow, ValidationReport


@dataclass(frozen=True)
class Heading:
    """Level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table of plain text; `widths` are relative."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]


Block = Heading | Paragraph | Grid


def build(card: ModelResponse, report: ValidationReport) -> list[Block]:
    """The whole document, in order."""
    return [
        Heading(f"Model document: {card.name}", 1),
        Paragraph(
            f"Made on {report.made_on} from the registered model and the validation report; no figure is typed in."
        ),
        *_card(card),
        *_bins(card),
        *_validation(card, report),
        *_policy(card),
        *_limits(card),
        *_rules(report),
    ]


def _card(card: ModelResponse) -> list[Block]:
    facts = (
        ("Version", card.model_version),
        ("SHA-256 of its files", card.sha256),
        ("Data", card.trained_on),
        ("Licence", card.licence),
        ("Recipe", card.recipe),
        (
            "Scale",
            f"{card.scale.base_points:g} points at odds {card.scale.base_odds:g}:1, {card.scale.pdo:g} to double",
        ),
        ("Points of the average applicant", f"{card.base_points:.2f}"),
        ("Reason texts", card.reason_profile),
        ("Challenger, in shadow", card.challenger or "none registered"),
        ("Synthetic data", "yes" if card.synthetic else "no"),
    )
    return [Heading("Model card"), Grid(("Fact", "Value"), facts, (1, 3))]


def _bins(card: ModelResponse) -> list[Block]:
    blocks: list[Block] = [
        Heading("Fields, bins and weights"),
        Paragraph(
            "Points are against the average applicant: the score is that applicant's points plus one bin a field. "
            "WoE is ln(share of goods / share of bads); the coefficient is its weight in the logit of default."
        ),
    ]
    for f in card.features:
        blocks.append(Heading(f"{f.label} ({f.name})", 3))
        blocks.append(Paragraph(f"{f.kind}; information value {f.iv:.4f}; coefficient {f.coefficient:.4f}"))
        rows = tuple(
            (
                b.label,
                f"{b.count:,}",
                f"{b.defaults:,}",
                "" if b.default_rate is None else f"{b.default_rate:.3f}",
                f"{b.woe:.4f}",
                f"{b.points:+.2f}",
            )
            for b in f.bins
        )
        blocks.append(Grid(("Bin", "Applicants", "Bad", "Rate", "WoE", "Points"), rows, (4, 1, 1, 1, 1, 1)))
    return blocks


def _validation(card: ModelResponse, report: ValidationReport) -> list[Block]:
    counted = ", ".join(f"{count} {grade}" for grade, count in sorted(report.grades.items()))
    figures = tuple(
        (f.model, f.name, f"{f.value:.4f}", f"{f.low:.4f} to {f.high:.4f}", f"{f.n:,}") for f in card.figures
    )
    blocks: list[Block] = [
        Heading("Validation"),
        Paragraph(card.validation),
        Grid(("Model", "Figure", "Value", "95 % interval", "n"), figures, (2, 2, 1, 2, 1)),
        Paragraph(
            f"Sample of the rows below: {report.sample}. {report.n:,} applicants, {report.num_observed:,} with a known "
            f"outcome, {report.defaults:,} bad. Policy {report.policy_version}. Rows by grade: {counted}."
        ),
    ]
    for section in dict.fromkeys(row.section for row in report.rows):
        blocks.append(Heading(section.capitalize(), 3))
        rows = tuple(_evidence(row) for row in report.rows if row.section == section)
        header = ("Statistic", "Of", "Value", "95 % interval", "n", "Grade", "Rule", "Note")
        blocks.append(Grid(header, rows, (3, 2.5, 1.2, 2, 1, 1.5, 2.5, 4)))
    return blocks


def _evidence(row: EvidenceRow) -> tuple[str, ...]:
    interval = "" if row.low is None or row.high is None else f"{row.low:.4f} to {row.high:.4f}"
    value = "" if row.value is None else f"{row.value:.4f}"
    rule = f"{row.rule}, {row.rule_version}"
    return row.statistic, row.of, value, interval, f"{row.n:,}", row.grade, rule, row.note


def _policy(card: ModelResponse) -> list[Block]:
    p = card.policy
    facts = (
        ("Version", f"{p.name} {p.version}, effective from {p.effective_from}"),
        ("Approve", f"at {p.approve_at} points or more"),
        ("Decline", f"below {p.decline_below} points"),
        (
            "Costs",
            f"bad approved {p.cost_bad_approved:g}, good declined {p.cost_good_declined:g}, review {p.cost_review:g}",
        ),
        ("Rule", p.rule),
        ("Source", p.source),
    )
    blocks: list[Block] = [Heading("Policy"), Grid(("Fact", "Value"), facts, (1, 3))]
    if p.overrides:
        rows = tuple(
            (
                o.code,
                o.field,
                f"{o.operator.replace('_', ' ')} {', '.join(str(v) for v in o.values)}",
                o.decision,
                o.reason,
            )
            for o in p.overrides
        )
        blocks.append(Grid(("Override", "Field", "When", "Decision", "Reason"), rows, (1, 2, 2, 1, 4)))
    return blocks


def _limits(card: ModelResponse) -> list[Block]:
    excluded = tuple((e.name, e.reason) for e in card.excluded)
    return [
        Heading("Limits"),
        Paragraph(card.limits),
        Heading("What is not scored, and why"),
        Grid(("Attribute", "Reason"), excluded, (1, 3)),
    ]


def _rules(report: ValidationReport) -> list[Block]:
    header, widths = ("Version", "From", "Text", "Source"), (2, 1.2, 5, 4)
    rules, regimes = (
        tuple((f"{r.rule}, {r.version}", str(r.applies_from), r.text, r.source) for r in texts)
        for texts in (report.rules, report.regimes)
    )
    return [
        Heading("Rules that the rows were held against"),
        Grid(header, rules, widths),
        Heading("Regimes in force on the day of the report"),
        Paragraph("Not legal advice."),
        Grid(header, regimes, widths),
    ]


def to_markdown(blocks: Sequence[Block]) -> str:
    """CommonMark with pipe tables; a cell's pipes and line ends are escaped."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {block.text}")
        elif isinstance(block, Paragraph):
            parts.append(block.text)
        else:
            lines = [block.header, tuple("---" for _ in block.header), *block.rows]
            parts.append("\n".join(f"| {' | '.join(_cell(c) for c in line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
