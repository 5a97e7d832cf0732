"""100,000 real sentences and their MiniLM vectors, for benchmarks of size. Ignores what they mean.

Medical answers (MedQuAD), remarks (GoEmotions train), customers' questions (Banking77 train), service dialogues
(Schema-Guided Dialogue train) and general prose (Wikipedia) below TRIVIUM_DATA. No test split is read.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from retrieval.embed import MiniLMEmbedder

CACHE = Path(tempfile.gettempdir()) / "trivium-benchmark-vectors"
NUM_SENTENCES, NUM_QUERIES = 100_000, 1_000
_CHARS = range(25, 300)


@dataclass(frozen=True)
class Sentences:
    """100,000 texts in the order of their sources, with unit vectors (N, 384), and 1,000 others to ask with."""

    texts: list[str]
    vectors_ND: NDArray[np.float32]
    queries: list[str]
    queries_QD: NDArray[np.float32]


def load_sentences() -> Sentences:
    """Read and embed once (ten minutes on one core), then from a cache."""
    CACHE.mkdir(exist_ok=True)
    texts_file, vectors_file = CACHE / "sentences.json", CACHE / "sentences.npy"
    if not vectors_file.is_file():
        texts = _choose(list(dict.fromkeys(_sentences(Path(os.environ["TRIVIUM_DATA"])))))
        texts_file.write_text(json.dumps(texts), "utf-8")
        vectors_ND = MiniLMEmbedder().embed(texts)
        with vectors_file.with_suffix(".part").open("wb") as file:
            np.save(file, vectors_ND)
        vectors_file.with_suffix(".part").rename(vectors_file)
    texts, vectors_ND = json.loads(texts_file.read_text("utf-8")), np.load(vectors_file)
    asked = np.zeros(len(texts), bool)
    asked[np.random.default_rng(0).permutation(len(texts))[:NUM_QUERIES]] = True
    kept, queries = np.flatnonzero(~asked), np.flatnonzero(asked)
    return Sentences([texts[i] for i in kept], vectors_ND[kept], [texts[i] for i in queries], vectors_ND[queries])


def _choose(distinct: list[str]) -> list[str]:
    chosen = random.Random(0).sample(range(len(distinct)), NUM_SENTENCES + NUM_QUERIES)
    return [distinct[i] for i in sorted(chosen)]


def _sentences(data: Path) -> Iterator[str]:
    for text in _texts(data):
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
            if len(sentence) in _CHARS:
                yield sentence


def _texts(data: Path) -> Iterator[str]:
    for _, content in _members(data / "medical/medquad.tar.xz", ".xml"):
        for answer in ElementTree.parse(io.BytesIO(content)).iter("Answer"):
            yield answer.text or ""
    for row in csv.reader((data / "support/goemotions/train.tsv").open(encoding="utf-8"), delimiter="\t", quoting=3):
        yield row[0]
    for question in csv.DictReader((data / "support/banking77/train.csv").open(encoding="utf-8")):
        yield question["text"]
    for name, content in _members(data / "support/sgd_train_dev.tar.xz", ".json"):
        if name.startswith("train/dialogues"):
            for dialogue in json.loads(content):
                yield from (turn["utterance"] for turn in dialogue["turns"])
    yield from (data / "text/wiki_sentences/all_wiki_sents.txt").read_text("utf-8").splitlines()


def _members(archive: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(suffix) and (file := tar.extractfile(member)):
                yield member.name, file.read()
