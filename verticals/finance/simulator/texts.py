"""What simulated applicants write: a few sentences about purpose, work and plans. SYNTHETIC; ignores the account.

The sentence about work follows the customer's outlook, which nothing else of the simulation shows: only the text knows
it. One in seven does not speak of work, so the text is a sign and no certainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

OUTLOOKS = ("secure", "neutral", "insecure")
SILENT = 0.15  # share of texts without a sentence about work

PURPOSES = (
    "I would like to {buy} {thing}.",
    "The money is for {thing}.",
    "We need {thing} and have saved part of the price.",
    "I am asking for this loan to {buy} {thing}.",
    "My plan is to {buy} {thing} this {season}.",
)
THINGS = (
    *("a used car", "a new kitchen", "a washing machine", "a laptop for my course", "furniture for a larger flat"),
    *("a bicycle for my way to work", "repairs of our roof", "new windows", "a boiler", "a small van"),
)
WORK: Mapping[str, Sequence[str]] = {
    "secure": (
        "My position was made permanent in {month}.",
        "I have worked for the same employer for {years} years and was promoted in {month}.",
        "My trial period ended well and my contract has no end date.",
        "Since {month} I have a second year of fixed orders from my largest client.",
        "My employer has just extended the contract of our whole team.",
    ),
    "neutral": (
        "I work in {field}.",
        "I have been in {field} for some years.",
        "My job is in {field}, and I drive there by bus.",
        "Most of my income comes from my work in {field}.",
    ),
    "insecure": (
        "My contract ends in {month} and I do not know yet whether it will be extended.",
        "My employer has announced that our site will close in {month}.",
        "My hours were cut in {month}, and I am looking for something else.",
        "I am between two jobs and expect to hear about the next one in {month}.",
        "Two of my three clients have left since {month}.",
    ),
}
CLOSINGS = (
    "I can pay the instalments on any day of the month.",
    "Please tell me if you need further papers.",
    "A term of about {years} years would suit me.",
    "I prefer instalments soon after payday.",
    "Thank you for looking at my application.",
    "",
)
FIELDS = ("retail", "logistics", "nursing", "construction", "catering", "education", "an office", "software", "farming")
MONTHS = ("January", "March", "April", "June", "August", "September", "November")


def write_text(outlook: str, rng: np.random.Generator) -> str:
    """Two to three sentences.

    Raises:
        ValueError: an outlook that is none of `OUTLOOKS`.
    """
    if outlook not in OUTLOOKS:
        raise ValueError(f"outlook: must be one of {', '.join(OUTLOOKS)} (got {outlook!r}).")
    work = "" if rng.random() < SILENT else str(rng.choice(WORK[outlook]))
    parts = [str(rng.choice(PURPOSES)), work, str(rng.choice(CLOSINGS))]
    return " ".join(part for part in parts if part).format(
        buy=rng.choice(["buy", "pay for"]),
        thing=rng.choice(THINGS),
        season=rng.choice(["spring", "summer", "autumn", "winter"]),
        month=rng.choice(MONTHS),
        years=rng.integers(2, 9),
        field=rng.choice(FIELDS),
    )
