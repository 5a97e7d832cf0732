"""Text to token ids and back; chat templates in a sandbox. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


class Tokenizer:
    """A `tokenizers.Tokenizer` with its chat template and end-of-text ids.

    tokenizer = Tokenizer.from_folder(path)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}])   # adds the generation prompt
    """

    eos_ids: frozenset[int]

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: Sequence[int]) -> str:
        raise NotImplementedError

    def render_chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        raise NotImplementedError

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        raise NotImplementedError
