"""How well a linear head on the core's hidden states sorts help-article sentences into the articles' categories.

    python -m benchmarks.heads [--max-sentences 600]

Data: the invented shop's help articles (synthetic text). Five folds by article: no article is both trained on and
tested on. Baselines: the commonest category, and TF-IDF words with logistic regression. Ignores speed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.shipped_text import processor
from core_model.embedded import find_gguf, load_engine
from core_model.heads import best_labels
from core_model.pooled import FloatArray
from core_model.train.heads import fit_head

FOLDS = 5
L2 = 0.03  # 576 features and a few hundred examples; not tuned on the folds
KNOWLEDGE = Path(__file__).parent.parent / "verticals" / "support" / "knowledge"

Example = tuple[str, str, int]  # sentence, category, fold


def read_examples(max_sentences: int) -> list[Example]:
    """Sentences of at least five words, spread evenly over the articles' order."""
    found = []
    for i, path in enumerate(sorted(KNOWLEDGE.glob("*.md"))):
        match = re.match(r"---\n.*?category: (\w+)\n.*?---\n(.*)", path.read_text(encoding="utf-8"), re.DOTALL)
        if match:
            body = re.sub(r"^#.*$", "", match[2], flags=re.MULTILINE)
            sentences = [" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+", body)]
            found += [(text, match[1], i % FOLDS) for text in sentences if len(text.split()) >= 5]
    step = max(1, -(-len(found) // max_sentences))
    return found[::step]


def accuracy(predicted: Sequence[str], right: Sequence[str]) -> float:
    """Share that agrees."""
    return float(np.mean([a == b for a, b in zip(predicted, right, strict=True)]))


def of_majority(train: Sequence[Example], test: Sequence[Example]) -> list[str]:
    """The commonest category, for all."""
    categories = [category for _, category, _ in train]
    return [max(sorted(set(categories)), key=categories.count)] * len(test)


def of_words(train: Sequence[Example], test: Sequence[Example]) -> list[str]:
    """TF-IDF of words and pairs, and logistic regression."""
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10))
    model.fit([text for text, _, _ in train], [category for _, category, _ in train])
    return [str(category) for category in model.predict([text for text, _, _ in test])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row a method: mean accuracy over the folds, and the worst and best fold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--max-sentences", type=int, default=600)
    examples = read_examples(parser.parse_args(arguments).max_sentences)
    scores: dict[str, list[float]] = {}
    engine, tokenizer = load_engine(find_gguf(), precision="int8")
    with engine:
        prompts = [tokenizer.encode(text) for text, _, _ in examples]
        states: dict[str, FloatArray] = {"mean": engine.embed(prompts), "last": engine.embed(prompts, pooling="last")}
    for fold in range(FOLDS):
        test = [i for i, example in enumerate(examples) if example[2] == fold]
        train = [i for i, example in enumerate(examples) if example[2] != fold]
        parts = [examples[i] for i in train], [examples[i] for i in test]
        right = [category for _, category, _ in parts[1]]
        for name, method in (("commonest category", of_majority), ("TF-IDF, logistic", of_words)):
            scores.setdefault(name, []).append(accuracy(method(*parts), right))
        for pooling, hidden_ND in states.items():
            labels = [category for _, category, _ in parts[0]]
            head = fit_head(hidden_ND[train], labels, model_version=engine.model_version, l2=L2)
            predicted = best_labels(head, head.predict(hidden_ND[test]))
            scores.setdefault(f"head on {pooling} state", []).append(accuracy(predicted, right))

    num_categories = len({category for _, category, _ in examples})
    print(f"{processor()}; {len(examples)} sentences, {num_categories} categories, {FOLDS} folds by article\n")
    print("| method | accuracy | folds |\n|---|---:|---|")
    for name, values in scores.items():
        print(f"| {name} | {np.mean(values):.3f} | {min(values):.3f} to {max(values):.3f} |")


if __name__ == "__main__":
    main()
