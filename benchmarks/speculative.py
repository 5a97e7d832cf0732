"""What guessing by prompt look-up saves: decoding with and without it on the same engine, embedded model, same run.

    python -m benchmarks.speculative [--models DIR] [--precision int8] [--tokens 96] [--prompts 6] [--runs 5]
        [--batch 1] [--threads N] [--json FILE]

Four sets of prompts. "answer": the support agent's own prompt, with the sentences of the article that answers a shipped
question as facts. "quote": the same facts, to be quoted word for word. "summary": an article to be summarised. "free":
nothing to copy from; what look-up costs or saves there is the price of leaving it on. Greedy. Tokens/s: the tokens
after the first of each answer. Runs of both kinds alternate, so that a busy machine slows both alike; medians.
The run fails if an answer with guesses differs from the one without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langchain_core.messages import convert_to_openai_messages

from benchmarks.setting import MODELS, THREADS, machine
from core_model.embedded import prepare_default_model
from core_model.engine import Engine
from core_model.generation import RequestOptions, SamplingParams
from core_model.loading import load_engine
from core_model.tokenizer import Tokenizer
from retrieval.chunking import split_markdown
from retrieval.grounding import Evidence
from retrieval.ingest import read_folder
from retrieval.sentences import split_sentences
from verticals.support.answering import answer_messages

KNOWLEDGE = Path(__file__).parent.parent / "verticals" / "support" / "knowledge"
GROUNDED = ("quote", "summary")
LIMIT = 1.5
MAX_FACTS = 10
FREE = (
    "Write a story about a lighthouse keeper and the sea.",
    "Explain how a bicycle stays upright.",
    "Give me a recipe for onion soup.",
    "Why is the sky blue?",
    "What should I pack for a week in the mountains?",
    "Describe the life of a medieval baker.",
    "How do vaccines work?",
    "Write a poem about winter.",
)


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: print(f"\r{what} {done:4.0%}", end="", flush=True))
    print()
    engine, tokenizer = load_engine(
        folder,
        device="cpu",
        precision=args.precision,
        max_batch=args.batch,
        num_threads=args.threads,
        speculation="prompt_lookup",
    )
    sets = make_prompts(tokenizer, args.prompts)
    rows: dict[str, dict[str, list[float]]] = {name: {"off": [], "on": [], "ratio": []} for name in [*sets, "grounded"]}
    counts: dict[str, list[int]] = {name: [0, 0, 0] for name in rows}  # tokens, guessed, right
    _decode(engine, sets["free"][:1], args.tokens, speculate=False)  # warms up
    for _ in range(args.runs):
        for name, measured in _run(engine, sets, args).items():
            for kind, rate in measured["rates"].items():
                rows[name][kind].append(rate)
            counts[name] = measured["counts"]
    engine.close()
    report = _report(rows, counts, args)
    _print_table(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def make_prompts(tokenizer: Tokenizer, num_prompts: int) -> dict[str, list[list[int]]]:
    """`num_prompts` prompts of each set, from the first questions that are answered by different articles."""
    articles = {document.doc_id: document for document in read_folder(KNOWLEDGE)[0]}
    questions = [json.loads(line) for line in (KNOWLEDGE / "questions.jsonl").read_text("utf-8").splitlines()]
    by_article = {q["doc_id"]: q["question"] for q in reversed(questions) if q["doc_id"]}
    first = list(dict.fromkeys(q["doc_id"] for q in questions if q["doc_id"]))[:num_prompts]
    prompts: dict[str, list[list[int]]] = {"answer": [], "quote": [], "summary": [], "free": []}
    for doc_id in first:
        chunks = split_markdown(articles[doc_id].text)
        facts = [fact.text for chunk in chunks for fact in split_sentences(chunk.text)][:MAX_FACTS]
        asked = answer_messages(by_article[doc_id], [Evidence(fact, 0, doc_id=doc_id) for fact in facts])
        prompts["answer"].append(tokenizer.apply_chat_template(convert_to_openai_messages(asked)))
        system, listed = str(asked[0].content), "\n".join(f"- {fact}" for fact in facts)
        quote = f"<facts>\n{listed}\n</facts>\nQuote the facts word for word that answer this question: "
        prompts["quote"].append(_chat(tokenizer, quote + by_article[doc_id], system=system))
        article = f"Summarize this article in a few sentences:\n\n{' '.join(facts)}"
        prompts["summary"].append(_chat(tokenizer, article))
    prompts["free"] = [_chat(tokenizer, text) for text in FREE[:num_prompts]]
    return prompts


def _chat(tokenizer: Tokenizer, text: str, *, system: str = "You are a helpful assistant.") -> list[int]:
    return tokenizer.apply_chat_template([{"role": "system", "content": system}, {"role": "user", "content": text}])


def _run(engine: Engine, sets: Mapping[str, Sequence[list[int]]], args: argparse.Namespace) -> dict[str, Any]:
    """Every prompt with and without guesses; tokens/s by set and kind, and how many guesses were right."""
    measured: dict[str, Any] = {}
    total = {"off": 0.0, "on": 0.0}
    total_counts = [0, 0, 0]
    for name, prompts in sets.items():
        seconds, counts = {"off": 0.0, "on": 0.0}, [0, 0, 0]
        for first in range(0, len(prompts), args.batch):
            some = prompts[first : first + args.batch]
            expected, took = _decode(engine, some, args.tokens, speculate=False)
            seconds["off"] += took
            before = engine.stats()
            got, took = _decode(engine, some, args.tokens, speculate=True)
            seconds["on"] += took
            after = engine.stats()
            if got != expected:
                sys.exit(f"an answer of the set {name!r} (prompts {first}..) differs with guesses: this is a defect")
            counts[0] += sum(len(tokens) - 1 for tokens in got)
            counts[1] += after.drafted_tokens_total - before.drafted_tokens_total
            counts[2] += after.accepted_tokens_total - before.accepted_tokens_total
        measured[name] = _measured(seconds, counts)
        if name in GROUNDED:
            total = {kind: total[kind] + seconds[kind] for kind in total}
            total_counts = [a + b for a, b in zip(total_counts, counts, strict=True)]
    return {**measured, "grounded": _measured(total, total_counts)}


def _measured(seconds: Mapping[str, float], counts: Sequence[int]) -> dict[str, Any]:
    rates = {kind: counts[0] / seconds[kind] for kind in seconds}
    return {"rates": {**rates, "ratio": rates["on"] / rates["off"]}, "counts": list(counts)}


def _decode(
    engine: Engine, prompts: Sequence[list[int]], num_tokens: int, *, speculate: bool
) -> tuple[list[list[int]], float]:
    """Answers to all prompts at once, and the time from the first token of the last to begin until all are complete."""
    options = RequestOptions(speculate=speculate)
    streams = [engine.stream(prompt, SamplingParams(max_tokens=num_tokens), options=options) for prompt in prompts]
    answers = [list(next(stream).token_ids) for stream in streams]
    start = time.perf_counter()
    with ThreadPoolExecutor(len(streams)) as pool:
        rest = list(pool.map(lambda stream: [t for chunk in stream for t in chunk.token_ids], streams))
    took = time.perf_counter() - start
    return [answer + more for answer, more in zip(answers, rest, strict=True)], took


def _report(
    rows: Mapping[str, Mapping[str, list[float]]], counts: Mapping[str, list[int]], args: argparse.Namespace
) -> dict[str, Any]:
    medians = {name: {kind: statistics.median(v) for kind, v in row.items()} for name, row in rows.items()}
    return {
        "machine": machine(),
        "threads": args.threads,
        "precision": args.precision,
        "batch": args.batch,
        "prompts": args.prompts,
        "runs": args.runs,
        "medians": medians,
        "counts": dict(counts),
        "limit": LIMIT,
        "all": rows,
    }


def _print_table(report: Mapping[str, Any]) -> None:
    print(f"{report['machine']}; {report['threads']} threads, {report['precision']}, batch {report['batch']}")
    print(f"{report['prompts']} prompts a set, medians of {report['runs']}; a ratio is the median of runs' own")
    print("all answers with guesses are token for token those without")
    print(f"{'':10}{'tokens':>8}{'tok/s off':>11}{'tok/s on':>10}{'ratio':>7}{'guessed':>9}{'right':>7}{'of them':>9}")
    for name, row in report["medians"].items():
        num_tokens, guessed, right = report["counts"][name]
        print(
            f"{name:10}{num_tokens:8}{row['off']:11.1f}{row['on']:10.1f}{row['ratio']:7.2f}{guessed:9}{right:7}"
            f"{right / max(guessed, 1):9.0%}"
        )
    met = "met" if report["medians"]["grounded"]["ratio"] >= report["limit"] else "missed"
    print(f"grounded: {' and '.join(GROUNDED)} together; {report['limit']} times is {met}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--precision", choices=("int8", "bf16", "fp32"), default="int8")
    parser.add_argument("--tokens", type=int, default=96, help="most tokens of an answer (2 or more)")
    parser.add_argument("--prompts", type=int, default=6, help=f"of each set (1 to {len(FREE)})")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1, help="requests at once")
    parser.add_argument("--threads", type=int, default=THREADS, help="default: all cores but one")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    if args.tokens < 2 or min(args.runs, args.threads, args.batch) < 1 or not 1 <= args.prompts <= len(FREE):
        sys.exit(f"--tokens must be 2 or more; --runs, --threads, --batch 1 or more; --prompts 1 to {len(FREE)}")
    return args


if __name__ == "__main__":
    main()
