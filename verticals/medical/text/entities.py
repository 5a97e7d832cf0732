"""Diseases and chemicals named in clinical English, by a tagger trained on BC5CDR. Ignores what is said of them.

Li 2016 (doi:10.1093/database/baw068). Tags are BIO: the first word of an entity, a further one, outside.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from retrieval.bert import weights_sha256
from verticals.medical.text.network import TagNetwork, WordReader

EntityKind = Literal["Chemical", "Disease"]
KINDS: tuple[EntityKind, ...] = ("Chemical", "Disease")
TAGS = ("O", *(f"{part}-{kind}" for kind in KINDS for part in "BI"))
WEIGHTS_DIR = Path(__file__).parent / "entities"
MPNET_DIR = Path(__file__).parent / "entities_mpnet"  # over all-mpnet-base-v2, whose weights have this SHA-256
MPNET = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
_WEIGHTS, _CARD = "model.safetensors", "card.json"
_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")  # as the corpus is cut: at every mark
_BATCH = 32


@dataclass(frozen=True)
class Entity:
    """`text` is `passage[start:end]`."""

    kind: EntityKind
    start: int
    end: int
    text: str


class EntityTagger:
    """Reads sentences; safe from many threads once made."""

    def __init__(self, reader: WordReader, network: TagNetwork, card: Mapping[str, Any]) -> None:
        self._reader, self.network, self.card = reader, network.eval(), card
        self._allowed = allowed()

    def read(self, sentence: str) -> list[Entity]:
        """The entities of one sentence, in order."""
        words = list(_WORD.finditer(sentence))
        if not words:
            return []
        [tags] = self.tag([[word[0] for word in words]])
        spans = ((kind, words[first].start(), words[last - 1].end()) for kind, first, last in spans_of(tags))
        return [Entity(kind, start, end, sentence[start:end]) for kind, start, end in spans]

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The tags of sentences that are cut into words, at least one each."""
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        tags: list[list[str]] = [[] for _ in sentences]
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                words = self._reader.batch([sentences[i] for i in rows])
                scores_BWK = self.network(words, self._reader.lower(words))
                chains = self.network.best(scores_BWK, words.lengths_B, self._allowed)
                for i, chain in zip(rows, chains, strict=True):
                    tags[i] = [TAGS[k] for k in chain]
        return tags

    def save(self, folder: Path) -> None:
        """Write weights (fp16) and card into `folder`, made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.network.tensors(), folder / _WEIGHTS)
        (folder / _CARD).write_text(json.dumps(self.card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path = WEIGHTS_DIR, encoder_dir: Path | None = None) -> EntityTagger:
        """Read what `save` wrote; the model shipped for MiniLM by default. Its card gets a `version` by its weights.

        Args:
            encoder_dir: Of the encoder that it was trained over; MiniLM if None.
        Raises:
            ValueError: a missing or damaged file, another encoder, or MiniLM's package is not installed.
        """
        reader = WordReader(encoder_dir)
        network = TagNetwork(reader, len(TAGS))
        try:
            card = json.loads((folder / _CARD).read_text("utf-8"))
            content = (folder / _WEIGHTS).read_bytes()
            network.load(load(content))
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"folder: no readable entity model in {folder.name!r}. Install again.") from error
        return cls(reader, network, {**card, "version": f"entities@{hashlib.sha256(content).hexdigest()[:12]}"})


def open_tagger(encoder_dir: Path | None) -> EntityTagger:
    """The shipped tagger over the encoder of that folder if it is MPNet's, else over MiniLM.

    Raises:
        ValueError: see `EntityTagger.load`.
    """
    if encoder_dir is not None and weights_sha256(encoder_dir) == MPNET:
        return EntityTagger.load(MPNET_DIR, encoder_dir)
    return EntityTagger.load()


def allowed() -> torch.Tensor:
    """(K, K): whether the second tag may follow the first; "I" follows only its own kind."""
    rows = [[not b.startswith("I") or a[2:] == b[2:] for b in TAGS] for a in TAGS]
    return torch.tensor(rows)


def spans_of(tags: Sequence[str]) -> Iterator[tuple[EntityKind, int, int]]:
    """(kind, first word, word after the last) of each entity; an "I" that continues nothing begins one."""
    start, kind = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        if kind and tag != f"I-{kind}":
            yield kind, start, i  # type: ignore[misc]
            kind = ""
        if tag != "O" and not kind:
            start, kind = i, tag[2:]
