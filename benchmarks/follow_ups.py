"""What a customer's second message is searched with: alone, after its question, or the nearer.

    python -m benchmarks.follow_ups dev|test

Talks of verticals/support/knowledge/follow_ups.jsonl (synthetic, written before any way was tried): a message that
follows its question, one that follows a task of the shop, one that changes the topic. Beside them two questions of
questions.jsonl about different articles, drawn at random, as changes of topic in no words of ours. A search is right if
an article that answers comes first. `dev` chose. Intervals are 95 % bootstrap over talks. A minute of one core.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from retrieval.documents import Hit
from retrieval.embed import MiniLMEmbedder
from retrieval.ingest import read_folder
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from verticals.bootstrap import bootstrap_interval
from verticals.support.answerable import best_similarity
from verticals.support.conversation import own_question, standalone_query
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.matter import without_preface
from verticals.support.schemas import Message

WAYS = ("alone", "after its question", "the nearer")
_SEED = 0


def read_talks(split: str) -> list[dict[str, Any]]:
    """Each with `talk`, the customer's messages, `doc_ids` that answer the last one, and `kind`."""
    talks, questions = (_lines(name, split) for name in ("follow_ups.jsonl", "questions.jsonl"))
    asked = [row for row in questions if row["doc_id"]]
    draw = random.Random(_SEED)
    for row in asked:
        answers = [row["doc_id"], *row["also"]]
        earlier = draw.choice([other for other in asked if other["doc_id"] not in answers])
        talk = [earlier["question"], row["question"]]
        talks.append({"talk": talk, "doc_ids": answers, "kind": "random"})
    return talks


def _lines(name: str, split: str) -> list[dict[str, Any]]:
    rows = map(json.loads, (KNOWLEDGE_DIR / name).read_text("utf-8").splitlines())
    return [row for row in rows if row["split"] == split]


def search(knowledge: KnowledgeBase, talk: Sequence[str]) -> list[list[Hit]]:
    """What each of `WAYS` finds for the last message."""
    window = [Message(role="user", content=text) for text in talk]
    alone, joined = (
        knowledge.search(query, tenant="benchmark") for query in (without_preface(talk[-1]), standalone_query(window))
    )
    is_nearer = own_question(window) is not None and best_similarity(alone) > best_similarity(joined)
    return [alone, joined, alone if is_nearer else joined]


def main() -> None:
    """Print the share of right searches by kind of message and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", choices=("dev", "test"))
    talks = read_talks(parser.parse_args().split)
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), MiniLMEmbedder(), Path(folder) / "index")
        knowledge.ingest(read_folder(KNOWLEDGE_DIR)[0], tenant="benchmark")
        right = [[hits[0].doc_id in row["doc_ids"] for hits in search(knowledge, row["talk"])] for row in talks]
        engine.dispose()
    written = [row["kind"] != "random" for row in talks]
    kinds = {kind: [row["kind"] == kind for row in talks] for kind in dict.fromkeys(row["kind"] for row in talks)}
    for kind, chosen in {"all": [True] * len(talks), "written": written, **kinds}.items():
        rows_NW = np.array(right, float)[np.array(chosen)]
        shares = []
        for way, values in zip(WAYS, rows_NW.T, strict=True):
            low, high = bootstrap_interval(values)
            shares.append(f"{way} {values.mean():.3f} ({low:.3f} to {high:.3f})")
        low, high = bootstrap_interval(gain := rows_NW[:, 2] - rows_NW[:, 1])
        shares.append(f"gain {gain.mean():+.3f} ({low:+.3f} to {high:+.3f})")
        print(f"{kind:9} n={len(rows_NW):3}  {'  '.join(shares)}")


if __name__ == "__main__":
    main()
