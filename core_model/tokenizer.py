"""Text to token ids and back, and chat templates in a sandbox. Knows no model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment

_TOKENIZER, _TOKENIZER_CONFIG, _GENERATION = "tokenizer.json", "tokenizer_config.json", "generation_config.json"


class Tokenizer:
    """A `tokenizers.Tokenizer` with its chat template and end-of-text ids.

    tokenizer = Tokenizer.from_folder(path)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}])   # adds the generation prompt
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        eos_ids: frozenset[int],
        chat_template: str | None = None,
        bos_token: str | None = None,
        eos_token: str | None = None,
    ) -> None:
        self._backend, self.eos_ids = backend, eos_ids
        self._bos, self._eos = bos_token, eos_token
        self._template = _compile_template(chat_template) if chat_template else None
        special = [str(token) for token in backend.get_added_tokens_decoder().values()]
        self._special = re.compile("|".join(map(re.escape, special))) if special else None

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read tokenizer.json, its chat template and generation_config.json.

        Raises:
            ValueError: no tokenizer.json in `folder`, or no end-of-text id.
        """
        path = folder / _TOKENIZER
        if not path.is_file():
            raise ValueError(f"folder: no {_TOKENIZER} in it (got {folder.name!r}). Give a checkpoint folder.")
        settings, generation = _read_json(folder / _TOKENIZER_CONFIG), _read_json(folder / _GENERATION)
        template = settings.get("chat_template")
        if (folder / "chat_template.jinja").is_file():
            template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        eos = generation.get("eos_token_id", _read_json(folder / "config.json").get("eos_token_id"))
        if eos is None:
            raise ValueError(f"folder: no eos_token_id in {_GENERATION} or config.json (got {folder.name!r}).")
        return cls(
            tokenizers.Tokenizer.from_file(str(path)),
            eos_ids=frozenset(eos if isinstance(eos, list) else [eos]),
            chat_template=template,
            bos_token=settings.get("bos_token"),
            eos_token=settings.get("eos_token"),
        )

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer, chat template and end-of-text ids that a GGUF file carries.

        Raises:
            ValueError: none in the file, one that is not implemented, or one without an end of text.
        """
        for key in ("model", "tokens", "token_type", "merges"):
            if f"tokenizer.ggml.{key}" not in metadata:
                raise ValueError(
                    f"GGUF tokenizer: no tokenizer.ggml.{key} in the file. Convert it with its vocabulary."
                )
        backend = tokenizer_from_gguf(metadata)
        ends = {metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom")}
        ends |= {backend.token_to_id(text) for text in _END_TOKENS}
        special = {kind: metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("bos", "eos")}
        bos, eos = (None if token is None else backend.id_to_token(int(token)) for token in special.values())
        if not ends - {None}:
            raise ValueError("GGUF tokenizer: no tokenizer.ggml.eos_token_id. Convert the model again.")
        return cls(
            backend,
            eos_ids=frozenset(int(token) for token in ends if token is not None),
            chat_template=metadata.get("tokenizer.chat_template"),
            bos_token=bos,
            eos_token=eos,
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return int(self._backend.get_vocab_size())

    def to_json(self) -> str:
        """The contents of tokenizer.json."""
        return str(self._backend.to_str())

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added. Special tokens in it count as such: never pass strangers' text."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of `token_ids` without special tokens; a cut character shows as U+FFFD."""
        return str(self._backend.decode(list(token_ids), skip_special_tokens=True))

    def render_chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        """Fill the model's own chat template. Special tokens inside a message are broken up: a user cannot fake a turn.

        Args:
            messages: Each with `role` and `content`.

        Raises:
            ValueError: no template, or the template refuses the messages.
        """
        if self._template is None:
            raise ValueError("chat_template: this model has none; it completes text. Use encode().")
        defused = [{**message, "content": self._defuse(message["content"])} for message in messages]
        special = {name: text for name, text in (("bos_token", self._bos), ("eos_token", self._eos)) if text}
        try:
            return self._template.render(messages=defused, add_generation_prompt=add_generation_prompt, **special)
        except jinja2.TemplateError as error:
            raise ValueError(f"messages: the model's chat template refuses them ({error}).") from error

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """`render_chat`, encoded."""
        return self.encode(self.render_chat(messages, add_generation_prompt=add_generation_prompt))

    def _defuse(self, text: str) -> str:
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text) if self._special else text


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Build a byte-level BPE tokenizer from a GGUF file's `tokenizer.ggml.*` keys.

    Raises:
        ValueError: another kind of tokenizer, or a pre-tokenizer rule that is not implemented.
    """
    kind, rule = metadata["tokenizer.ggml.model"], metadata.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2" or rule not in _PRE_TOKENIZERS:
        known = ", ".join(sorted(_PRE_TOKENIZERS))
        raise ValueError(f"GGUF tokenizer: only byte-level BPE with {known} is implemented (got {kind!r}, {rule!r}).")
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [*_PRE_TOKENIZERS[rule](), tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    backend.add_special_tokens([tokenizers.AddedToken(token, normalized=False) for token in special])
    return backend


_CONTROL = 3  # GGUF token type
# End an answer whatever the keys say.
_END_TOKENS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>")
_PRE_TOKENIZERS: dict[str, Callable[[], list[Any]]] = {
    "default": list,
    "gpt-2": list,
    "smollm": lambda: [tokenizers.pre_tokenizers.Digits(individual_digits=True)],
}


def _compile_template(source: str) -> jinja2.Template:
    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    return environment.from_string(source)


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return dict(content)
