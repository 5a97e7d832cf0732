"""The head that tells injected sentences from a document's own: with --train it is fitted and written, then measured.

Run from the repository root, TRIVIUM_DATA set: python -m benchmarks.injection_head [--train]
Injected: verticals/support/safety/injections.json, split by goal and by template. Honest: our help articles (split by
article), MedQuAD answers, tau2 technical manual, Wikipedia sentences, banking77, and our own traps. Figures are per
sentence; what they do to an agent is measured by benchmarks.injection.
"""

from __future__ import annotations

import argparse
import lzma
import os
import random
import re
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harmful import fit
from benchmarks.safety_setting import add_figures, rate, write_head
from retrieval.embed import MiniLMEmbedder
from retrieval.ingest import read_folder
from retrieval.sentences import split_sentences
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.safety.data import is_held_back, ordinary_requests
from verticals.support.safety.head import Head
from verticals.support.safety.injection import HEAD, InjectionFilter
from verticals.support.safety.injection_rules import ADDRESSES_MODEL
from verticals.support.safety.injections import goals, honest_sentences, templates

MAX_FALSE = 0.002  # honest sentences flagged, out of fold, on training data
_SOURCES = 500  # sentences of each outside source
_END = re.compile(r"(?<=[.!?])\s+|\n+")


def injected_sentences(split: str) -> list[str]:
    """Sentences of English attacks of one half, each once."""
    wanted = goals(split)
    texts = [
        *wanted,
        *(t.format(goal=goal) for name, t in templates(split).items() if name[:2] != "zh" for goal in wanted),
    ]
    return sorted({part.strip() for text in texts for part in _END.split(text) if len(part.split()) > 1})


def honest(data_dir: Path, split: str) -> dict[str, list[str]]:
    """Sentences that belong in a document, by source."""
    held = split == "test"
    documents, _ = read_folder(KNOWLEDGE_DIR)
    articles = [s for d in documents if is_held_back(d.doc_id) == held for s in _sentences(d.text)]
    manual = (data_dir / "support/tau2/domains/telecom/tech_support_manual.md").read_text("utf-8")
    wiki = (data_dir / "text/wiki_sentences/all_wiki_sents.txt").read_text("utf-8").splitlines()
    sources = {
        "help articles": articles,
        "MedQuAD answers": _own_half(_medquad(data_dir), held),
        "tau2 manual": _own_half(_sentences(manual), held),
        "Wikipedia": _own_half(random.Random(1).sample(wiki, 5 * _SOURCES), held),
        "banking77": ordinary_requests(data_dir, split)["banking77"],
    }
    drawn = {n: random.Random(0).sample(texts, min(_SOURCES, len(texts))) for n, texts in sources.items()}
    return drawn | {"traps": [s for s in honest_sentences(split) if s.isascii()]}


def _sentences(text: str) -> list[str]:
    return [sentence.text for sentence in split_sentences(text)]


def train(data_dir: Path, embedder: MiniLMEmbedder) -> None:
    """Fit the head on the training halves and write it with its card."""
    injected, own = injected_sentences("train"), honest(data_dir, "train")
    texts = [*injected, *(text for part in own.values() for text in part)]
    labels = np.arange(len(texts)) < len(injected)
    weights_D, bias, out_of_fold = fit(embedder.embed(texts), labels)
    threshold = float(np.quantile(out_of_fold[~labels], 1 - MAX_FALSE))
    write_head(
        HEAD,
        Head(weights_D, bias, round(threshold, 4), embedder.name),
        trained_on={"injected": len(injected), **{name: len(part) for name, part in own.items()}},
        licence="MedQuAD and banking77: CC BY 4.0; tau2-bench: MIT; Wikipedia sentences: CC BY 3.0; ours: Apache-2.0",
        recipe=f"Logistic regression on {embedder.name}; threshold: {MAX_FALSE:.1%} of honest sentences out of fold",
        command="python -m benchmarks.injection_head --train",
        limits="English, one sentence at a time; Chinese by rules alone. A bare command that names no assistant is "
        "often missed: safety.provenance stands behind. Injected texts are synthetic.",
    )
    print(f"trained on {len(texts)} sentences, threshold {threshold:.4f}")


def report(data_dir: Path, embedder: MiniLMEmbedder) -> dict[str, str]:
    """Print and give per source what rules alone and the whole filter flag, a sentence a document."""
    both, figures = InjectionFilter(embedder), {}
    print(f"\n{'flagged':18s} {'n':>5s}  {'rules alone':24s} rules and head")
    for name, texts in {"injected": injected_sentences("test"), **honest(data_dir, "test")}.items():
        rules = [bool(ADDRESSES_MODEL.search(text)) for text in texts]
        figures[f"{name}, {len(texts)}"] = rate([both.clean(text).removed > 0 for text in texts])
        print(f"{name:18s} {len(texts):5d}  {rate(rules):24s} {figures[f'{name}, {len(texts)}']}")
        if name != "injected":
            print(*(f"    {text[:110]}" for text in texts if both.clean(text).removed), sep="\n")
    return figures


def _medquad(data_dir: Path) -> list[str]:
    """Sentences of every hundredth answer."""
    sentences: list[str] = []
    with lzma.open(data_dir / "medical/medquad.tar.xz") as packed, tarfile.open(fileobj=packed) as archive:
        for count, member in enumerate(archive):
            file = archive.extractfile(member) if count % 100 == 0 else None
            if file:
                answers = re.findall(r"<Answer>(.*?)</Answer>", file.read().decode("utf-8", "replace"), re.DOTALL)
                sentences += [part.strip() for answer in answers for part in _END.split(answer) if len(part) > 20]
    return sorted(set(sentences))


def _own_half(texts: Sequence[str], held: bool) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text.strip() and is_held_back(text) == held]


def main(arguments: Sequence[str]) -> int:
    """Train if asked, then print the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", action="store_true", help="fit the head and write it into the package first")
    options = parser.parse_args(arguments)
    data_dir, embedder = Path(os.environ["TRIVIUM_DATA"]), MiniLMEmbedder()
    if options.train:
        train(data_dir, embedder)
    figures = report(data_dir, embedder)
    if options.train:
        add_figures(HEAD, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
