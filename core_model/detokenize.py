"""Tokens to text as they come: never half a character, never a stop string. Ignores what the text means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Decodes(Protocol):
    """The part of a tokenizer that turns ids into text."""

    def decode(self, token_ids: Sequence[int]) -> str: ...


class TextStream:
    """The text of one growing answer.

    A token may end inside a UTF-8 character, and its text may depend on the token before; so a short window is decoded
    anew with each token and text is released once it no longer ends in a replacement character. Stop strings are
    looked for from token number `min_tokens` on.
    """

    def __init__(self, tokenizer: Decodes, stop: Sequence[str] = (), *, min_tokens: int = 0) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._num_before_stop = min_tokens
        self._window: list[int] = []  # tokens of the last released text, then those not yet released
        self._num_released = 0
        self._held = ""  # whole characters that may be the beginning of a stop string
        self._stopped = False

    def push(self, token_id: int) -> tuple[str, bool]:
        """Take one token.

        Returns:
            Text to show now (may be empty), and whether a stop string was reached: then nothing more comes.
        """
        self._window.append(token_id)
        self._num_before_stop -= 1
        text = self._decode_new()
        if text.endswith("\ufffd"):
            return "", False
        self._window, self._num_released = self._window[self._num_released :], 0
        self._num_released = len(self._window)
        return self._release(text)

    def flush(self) -> str:
        """What was held back, at the end of the answer; empty after a stop string."""
        if self._stopped:
            return ""
        text, stopped = self._release(self._decode_new())
        return text if stopped else text + self._held

    def _decode_new(self) -> str:
        before = self._tokenizer.decode(self._window[: self._num_released])
        return self._tokenizer.decode(self._window)[len(before) :]

    def _release(self, text: str) -> tuple[str, bool]:
        self._held += text
        if self._num_before_stop > 0:
            shown, self._held = self._held, ""
            return shown, False
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self._stopped = True
            return self._held[: min(found)], True
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown, False


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
