"""The rules that evidence is held against, each dated, so that an old report can be read by what held then.

A rule that sets no number has no grade: what it demands is shown. Ignores how figures are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Grade = Literal["green", "yellow", "red", "information", "not measured"]

YELLOW_FROM, RED_FROM = 0.95, 0.999  # confidence that something is wrong: the traffic light of every test here


@dataclass(frozen=True)
class Rule:
    """One rule of one regime. `version` names its text; `applies_from` is when it binds (or was published)."""

    rule_id: str
    version: str
    applies_from: date
    text: str
    source: str


_RULES = (
    Rule(
        "discrimination",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Green when the whole 95 % interval shows discrimination (AUC above .5, Gini and KS above 0), red when none of "
        "it does. No regulator sets a level.",
        "Our rule; DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44 (AUC); percentile bootstrap (KS)",
    ),
    Rule(
        "discrimination-loss",
        "ecb-imi/2019-02",
        date(2019, 2, 1),
        "One-sided test that the AUC has fallen since the earlier sample; green below 95 % confidence, yellow below "
        "99.9 %, red beyond.",
        "ECB, Instructions for reporting the validation results of internal models (2019), AUC test; levels are ours",
    ),
    Rule(
        "jeffreys",
        "ecb-imi/2019-02",
        date(2019, 2, 1),
        "Confidence that the true default rate exceeds the predicted one (posterior Beta(d + 1/2, n - d + 1/2)); "
        "green below 95 %, yellow below 99.9 %, red beyond. One-sided: too high a prediction is not graded.",
        "ECB, Instructions for reporting the validation results of internal models (2019), PD back-testing; light: "
        "BCBS Working Paper 14 (2005)",
    ),
    Rule(
        "hosmer-lemeshow",
        "hosmer-lemeshow/1980",
        date(1980, 1, 1),
        "Chi-square over ten equal groups, with ten degrees of freedom where the model has not seen the sample; green "
        "below 95 % confidence, yellow below 99.9 %, red beyond.",
        "Hosmer and Lemeshow 1980, Communications in Statistics A9",
    ),
    Rule(
        "slope",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Green between .9 and 1.1, yellow when the 95 % interval reaches into that range, red otherwise.",
        "Cox 1958, Biometrika 45; the range is ours",
    ),
    Rule(
        "intercept",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Calibration in the large, slope held at 1: green when the 95 % interval covers 0, yellow when the 99.9 % one "
        "does, red otherwise.",
        "Cox 1958, Biometrika 45",
    ),
    Rule(
        "brier",
        "murphy/1973",
        date(1973, 1, 1),
        "Brier = reliability - resolution + uncertainty, and the spread within bands. Shown, not graded.",
        "Murphy 1973, Journal of Applied Meteorology 12; within-band terms: Stephenson et al. 2008, Weather and "
        "Forecasting 23",
    ),
    Rule(
        "psi-test",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Chi-square test that both samples are one population, on PSI's own bins: green below 99 % confidence, yellow "
        "below 99.9 %, red beyond. The interval is of the population's PSI; chance raises the value of a sample, which "
        "may therefore lie above it.",
        "Yurdakul and Naranjo 2020, Journal of Risk Model Validation 14; levels are ours, set for many looks",
    ),
    Rule(
        "psi-convention",
        "siddiqi/2017",
        date(2017, 1, 1),
        "PSI below .10: no change; .10 to .25: some; above .25: a shift. A convention that ignores the sample size: "
        "shown beside the test, not graded.",
        "Siddiqi 2017, Intelligent Credit Scoring, 2nd edition",
    ),
    Rule(
        "stability",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Heterogeneity of the AUC over vintages (Cochran's Q): green below 95 % confidence, yellow below 99.9 %, red "
        "beyond.",
        "Cochran 1954, Biometrics 10",
    ),
    Rule(
        "sensitivity",
        "trivium/2026-11",
        date(2026, 11, 1),
        "What is lost when a field is not known, and what moves when it is 10 % higher. Shown, not graded.",
        "Our rule",
    ),
    Rule(
        "four-fifths",
        "us-ugesp/1978",
        date(1978, 9, 25),
        "A selection rate below four fifths of the highest group's: red when the whole 95 % interval lies below .8, "
        "yellow when it reaches below, green otherwise. Made for employment; lenders use it by analogy.",
        "29 CFR 1607.4(D)",
    ),
    Rule(
        "equal-opportunity",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Difference in approval among those who repaid. Yellow when the 95 % interval excludes 0, green otherwise: no "
        "regulator sets a level.",
        "Hardt, Price and Srebro 2016, arXiv:1610.02413; interval: Newcombe 1998, Statistics in Medicine 17, method 10",
    ),
    Rule(
        "reject-inference",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Methods are shown beside the model of the accepted alone, with the assumption that each makes. Shown, not "
        "graded: no figure on accepted applicants tells whether a method is right about the declined.",
        "Hand and Henley 1993; Crook and Banasik 2004; Siddiqi 2017, chapter 9; our benchmarks.reject_inference",
    ),
    Rule(
        "overrides",
        "trivium/2026-11",
        date(2026, 11, 1),
        "Share of the policy's decisions of the last twelve months that a person replaced, by direction: what was "
        "declined and then approved, approved and then declined, referred and then decided. Shown, not graded: no "
        "regulator sets a level; many low-side overrides say that score or policy misses something.",
        "Siddiqi 2017, Intelligent Credit Scoring, 2nd edition; interval: Jeffreys",
    ),
)
RULES = {rule.rule_id: rule for rule in _RULES}


@dataclass(frozen=True)
class Regime:
    """What a regime asks of a credit model's evidence, as a note of the report. Not legal advice."""

    version: str
    applies_from: date
    text: str
    source: str


REGIMES = (
    Regime(
        "us-sr-26-2/2026-04",
        date(2026, 4, 1),
        "Model risk management: sound development, independent validation, outcomes analysis, ongoing monitoring. "
        "Superseded SR 11-7.",
        "SR 26-2, Board of Governors of the Federal Reserve System, April 2026",
    ),
    Regime(
        "us-reg-b/2026-07",
        date(2026, 7, 1),
        "Disparate treatment stays prohibited; the effects test (disparate impact) was removed in July 2026. State law "
        "and other regimes may still ask for it, so adverse impact is measured.",
        "12 CFR 1002, as amended July 2026",
    ),
    Regime(
        "eu-ai-act/2027-12",
        date(2027, 12, 2),
        "Credit scoring of natural persons is high-risk: risk management, examination of data for bias, technical "
        "documentation, logging, human oversight, accuracy. Duties start in December 2027; no numeric threshold.",
        "Regulation (EU) 2024/1689, Annex III 5(b), Articles 9 to 15, with the application date as amended in 2026",
    ),
    Regime(
        "ifrs-9/2014",
        date(2018, 1, 1),
        "Expected credit losses: 12 months until credit risk has increased significantly, lifetime after.",
        "IFRS 9, 5.5.3, 5.5.5 and 5.5.11",
    ),
)


def light(confidence: float, *, yellow_from: float = YELLOW_FROM, red_from: float = RED_FROM) -> Grade:
    """Traffic light of the confidence (0-1) that something is wrong; NaN is not measured."""
    if confidence != confidence:
        return "not measured"
    return "green" if confidence < yellow_from else "yellow" if confidence < red_from else "red"


def in_force(on: date) -> tuple[Regime, ...]:
    """The regimes that bind on a day."""
    return tuple(regime for regime in REGIMES if regime.applies_from <= on)
