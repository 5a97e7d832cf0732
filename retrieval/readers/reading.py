"""What every reader gives back, and the one error that it may raise. Ignores formats."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reading:
    """What a file says, as Markdown, and what it states about itself; what it does not state is empty."""

    text: str
    title: str = ""
    doc_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)  # category, language, url
    acl: tuple[str, ...] = ()


class UnreadableFile(ValueError):
    """A file that is left out: which rule it breaks, and what its owner can do. Never quotes the file.

    Args:
        rule: What must hold, or what is the case, without a full stop.
        remedy: A sentence; empty if the rule says it.
    """

    def __init__(self, rule: str, remedy: str = "") -> None:
        self.rule, self.remedy = rule, remedy
        super().__init__(f"{rule}. {remedy}" if remedy else rule)


class UnknownFormat(UnreadableFile):
    """No reader for files of this kind."""


class FileTooLarge(UnreadableFile):
    """The file, what it unpacks to, or the work it takes is over a limit."""
