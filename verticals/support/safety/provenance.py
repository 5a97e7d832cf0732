"""Who may cause a change: the customer's words and records, or a person's approval; never a text that was read.

The last line behind the injection filter (after "control and data flow" in CaMeL, Debenedetti 2025, arXiv:2503.18813):
even a model that obeys an injected text cannot bring its account number, address or amount into a tool call.
Ignores which tools there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from verticals.support.safety.personal_data import fold

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def unfounded_arguments(arguments: Mapping[str, object], *, trusted: Iterable[str]) -> list[str]:
    """Names of a tool call's arguments whose values nobody trusted has said.

    Texts count word for word, but for case, spacing and punctuation; numbers by value, so that "30 dollars" founds
    Decimal("30.00"). Booleans and None say nothing that could be injected, and pass.

    Args:
        arguments: As the model wrote them; lists and mappings are looked into.
        trusted: The customer's own messages, their records, and what a person approved. Never passages, tool results'
            free text, or what the assistant said.
    Returns:
        Names in order; empty if the call may go on.
    """
    texts = list(trusted)
    words = " ".join(f" {_words(text)} " for text in texts)
    numbers = {value for text in texts for value in _numbers(text)}
    return [name for name, value in arguments.items() if not _founded(value, words, numbers)]


def _founded(value: object, words: str, numbers: set[Decimal]) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value)) in numbers
    if isinstance(value, Mapping):
        return all(_founded(item, words, numbers) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_founded(item, words, numbers) for item in value)
    text = str(value)
    if not _words(text) or f" {_words(text)} " in words:
        return True
    whole = _NUMBER.fullmatch(text.strip())
    return bool(whole) and not _numbers(text).isdisjoint(numbers)


def _words(text: str) -> str:
    """Letters and digits alone, in lower case; Chinese characters are words of their own."""
    return " ".join(re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+", fold(text).lower()))


def _numbers(text: str) -> set[Decimal]:
    values = set()
    for match in _NUMBER.finditer(fold(text)):
        try:
            values.add(Decimal(match[0].replace(",", "")))
        except InvalidOperation:  # digits of another script that Decimal does not read
            continue
    return values
