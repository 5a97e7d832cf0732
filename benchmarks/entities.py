"""Diseases and chemicals on BC5CDR (Li 2016; public domain): entity F1 of the tagger, a dictionary and a blank spaCy.

    TRIVIUM_DATA=... python -m benchmarks.entities [--split devel|test] [--encoder DIR] [--train FOLDER] [--spacy]

--train FOLDER trains on the training split (about 15 minutes of one core; over --encoder all-mpnet-base-v2 an hour and
a half), writes the weights there and measures them; without it the shipped weights are measured, over --encoder those
for it. The recipes were chosen on devel; test is for one figure. --spacy trains
spaCy's default entity recogniser from a blank English pipeline on the same sentences (needs `pip install spacy`).
The dictionary holds every entity of the training split, longest match first, without case. An entity counts if kind,
first and last word are right. Intervals: bootstrap over sentences, 95 %.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lineage import record
from benchmarks.setting import data_folder
from verticals.bootstrap import bootstrap_interval
from verticals.medical.text.entities import KINDS, EntityTagger, open_tagger, spans_of
from verticals.medical.text.training import LARGER, Recipe, Tagged, read_bc5cdr, train

Span = tuple[str, int, int]


def main() -> None:
    """Train if asked; measure and print."""
    args = _arguments()
    data_dir = data_folder("medical/bc5cdr_ner")
    torch.set_num_threads(1)
    learned, measured = read_bc5cdr(data_dir, "train"), read_bc5cdr(data_dir, args.split)
    print(f"# BC5CDR {args.split}: {len(measured.words)} sentences, trained on train ({len(learned.words)})")
    _report("dictionary", measured, _by_dictionary(learned, measured.words))
    if args.spacy:
        _report("spaCy, blank", measured, _by_spacy(learned, measured.words))
    if args.train:
        begin = time.process_time()
        recipe = LARGER if args.encoder else Recipe()
        train(learned, lambda what, done: None, recipe=recipe, encoder_dir=args.encoder).save(args.train)
        shipped = "entities_mpnet" if args.encoder else "entities"
        record(f"verticals/medical/text/{shipped}/card.json", file=args.train / "card.json")
        print(f"trained in {time.process_time() - begin:.0f} s of processor time, one thread")
    tagger = EntityTagger.load(args.train, args.encoder) if args.train else open_tagger(args.encoder)
    _report("tagger", measured, [_spans(tags) for tags in tagger.tag(measured.words)])


def _report(name: str, gold: Tagged, said: Sequence[set[Span]]) -> None:
    right = [_spans(tags) for tags in gold.tags]
    for kind in ("", *KINDS):
        rows = np.array([_counts(r, s, kind) for r, s in zip(right, said, strict=True)], float)
        low, high = bootstrap_interval(rows, _f1, draws=500)
        print(f"{name:14} {kind or 'all':9} F1 {_f1(rows):.3f} [{low:.3f}, {high:.3f}]", flush=True)


def _spans(tags: Sequence[str]) -> set[Span]:
    return {(kind, first, last) for kind, first, last in spans_of(tags)}


def _counts(right: set[Span], said: set[Span], kind: str) -> tuple[int, int, int]:
    right, said = ({span for span in spans if kind in ("", span[0])} for spans in (right, said))
    return len(right & said), len(said - right), len(right - said)


def _f1(rows: Any) -> float:
    hit, wrong, missing = rows.sum(0)
    return float(2 * hit / max(1, 2 * hit + wrong + missing))


def _by_dictionary(learned: Tagged, sentences: Sequence[Sequence[str]]) -> list[set[Span]]:
    known: dict[tuple[str, ...], str] = {}
    for words, tags in zip(learned.words, learned.tags, strict=True):
        known |= {tuple(w.lower() for w in words[first:last]): kind for kind, first, last in spans_of(tags)}
    longest = max(map(len, known))
    found = []
    for sentence in sentences:
        lower, at, spans = [word.lower() for word in sentence], 0, set[Span]()
        while at < len(lower):
            sizes = range(min(longest, len(lower) - at), 0, -1)
            size = next((n for n in sizes if tuple(lower[at : at + n]) in known), 0)
            if size:
                spans.add((known[tuple(lower[at : at + size])], at, at + size))
            at += max(size, 1)
        found.append(spans)
    return found


def _by_spacy(learned: Tagged, sentences: Sequence[Sequence[str]], *, epochs: int = 10) -> list[set[Span]]:
    import spacy
    from spacy.tokens import Doc
    from spacy.tokens import Span as SpacySpan
    from spacy.training import Example
    from spacy.util import compounding, minibatch

    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    recogniser = nlp.add_pipe("ner")
    for kind in KINDS:
        recogniser.add_label(kind)
    examples = []
    for words, tags in zip(learned.words, learned.tags, strict=True):
        doc = Doc(nlp.vocab, words=list(words))
        doc.ents = [SpacySpan(doc, first, last, label=kind) for kind, first, last in spans_of(tags)]
        examples.append(Example(Doc(nlp.vocab, words=list(words)), doc))
    optimizer, draw = nlp.initialize(lambda: examples), random.Random(0)
    for _ in range(epochs):
        draw.shuffle(examples)
        for batch in minibatch(examples, compounding(8.0, 64.0, 1.001)):
            nlp.update(batch, drop=0.2, sgd=optimizer)
    docs = (nlp(Doc(nlp.vocab, words=list(words))) for words in sentences)
    return [{(ent.label_, ent.start, ent.end) for ent in doc.ents} for doc in docs]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("devel", "test"), default="devel")
    parser.add_argument("--encoder", type=Path, help="folder of the encoder to read with; MiniLM if none")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--spacy", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
