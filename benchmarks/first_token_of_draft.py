"""The first token of a support draft on the default model: with kernels and without, its prompt cold or begun before.

    python -m benchmarks.first_token_of_draft [--models DIR] [--prompt 600] [--runs 20] [--threads N]

The prompt is the support agent's own for drafting an answer: role, task, example, facts of the demo shop's articles
until it has so many tokens, and a question. It goes through the chat model that the agent calls, template and all; the
embedded default quotes instead of drafting, so that its customers wait for it only where it is told to draft, and guard
and search are not in it (`benchmarks.first_token`). "Cold": a shop that asked nothing before, and shops share no cached
prompt. "Shared": the same shop asks another question, so that all before it is cached. Programs and kinds take turns;
"torch int8" is the engine without kernels, as everything ran before there were any.
"""

from __future__ import annotations

import argparse
import time
from itertools import takewhile
from pathlib import Path

import numpy as np
from langchain_core.messages import convert_to_openai_messages

from benchmarks.setting import MODELS, THREADS, machine
from core_model.chat_model import EngineChatModel
from core_model.embedded import prepare_default_model
from core_model.loading import load_engine, load_tokenizer
from core_model.tokenizer import Tokenizer
from retrieval.grounding import Evidence
from retrieval.ingest import read_folder
from retrieval.sentences import split_sentences
from verticals.support.answering import answer_messages
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals_questions import load_questions

PROGRAMS = {"kernels": True, "torch int8": False}


def main() -> None:
    """Measure and print a table."""
    args = _arguments()
    folder = prepare_default_model(args.models, lambda what, done: None)
    questions = [question.text for split in ("dev", "test") for question in load_questions(split)]
    tokenizer = load_tokenizer(folder)
    facts = _facts(tokenizer, questions[0], args.prompt)
    models, engines = {}, []
    for name, use_kernels in PROGRAMS.items():
        engines.append(load_engine(folder, device="cpu", num_threads=args.threads, use_kernels=use_kernels)[0])
        models[name] = EngineChatModel(engine=engines[-1], tokenizer=tokenizer)
    seconds: dict[tuple[str, str], list[float]] = {(name, kind): [] for kind in ("cold", "shared") for name in models}
    for run in range(-1, args.runs):  # run -1 warms up
        for (name, kind), measured in seconds.items():
            question = questions[(2 * run + (kind == "shared")) % len(questions)]
            taken = _first_token(models[name], question, facts, shop=f"shop-{run}")
            if run >= 0:
                measured.append(taken)
    for engine in engines:
        engine.close()
    pair = [_prompt(tokenizer, question, facts) for question in questions[:2]]
    num_shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(*pair, strict=False)))
    print(f"# {machine()}; {args.threads} threads; {args.runs} runs")
    print(f"# prompts of about {len(pair[0])} tokens, of which {num_shared} are shared")
    for (name, kind), measured in seconds.items():
        p50, p95 = 1e3 * np.percentile(measured, (50, 95))
        print(f"{kind:8}{name:12} p50 {p50:7.1f} ms  p95 {p95:7.1f} ms")


def _facts(tokenizer: Tokenizer, question: str, num_tokens: int) -> list[Evidence]:
    """As many as fit into a prompt of `num_tokens`, in the articles' order."""
    facts: list[Evidence] = []
    for document in read_folder(KNOWLEDGE_DIR)[0]:
        for sentence in split_sentences(document.text):
            more = [*facts, Evidence(sentence.text, source=0)]
            if len(_prompt(tokenizer, question, more)) > num_tokens:
                return facts
            facts = more
    raise SystemExit(f"--prompt: the articles have fewer than {num_tokens} tokens. Ask for fewer.")


def _prompt(tokenizer: Tokenizer, question: str, facts: list[Evidence]) -> list[int]:
    turns = convert_to_openai_messages(answer_messages(question, facts))
    return tokenizer.apply_chat_template(turns)


def _first_token(model: EngineChatModel, question: str, facts: list[Evidence], *, shop: str) -> float:
    start = time.perf_counter()
    for _ in model.stream(answer_messages(question, facts), max_tokens=1, user=shop):
        return time.perf_counter() - start
    raise AssertionError("a stream has a last chunk")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the default model is kept")
    parser.add_argument("--prompt", type=int, default=600, help="tokens of a prompt, 2,000 at most")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=THREADS, help="default: all cores but one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
