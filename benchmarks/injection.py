"""Injected documents and tool results: attack success and utility, guards on and off.

Run from the repository root: python -m benchmarks.injection [--attacks 600]
Attacks: held-back goals (verticals/support/safety/injections.json) in every template, plain and disguised; with the
package `agentdojo` installed (pip install --no-deps agentdojo==0.1.35), its own goals too, none of them trained on.
Questions: the answerable test questions of the shop. Spans are chosen by shared words. Intervals are 95 % Wilson.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from benchmarks.safety_setting import rate
from retrieval.embed import MiniLMEmbedder
from retrieval.ingest import read_folder
from retrieval.store import KnowledgeBase
from retrieval.tables import Base
from verticals.support.conversation import Intent, read_intent
from verticals.support.demo import KNOWLEDGE_DIR
from verticals.support.evals_injection import PLACEMENTS, Case, Outcome, ask, plant
from verticals.support.evals_questions import load_questions
from verticals.support.safety.guard import Guard
from verticals.support.safety.injections import Attack, goals, make_attacks
from verticals.support.schemas import Message

TENANT = "benchmark"
NOTES = (  # honest last sentences of an order's note; nothing was fitted to them
    "The customer asked for a call before delivery.",
    "Leave the parcel with the neighbour at number 12.",
    "The gate code is 4711.",
    "Please ring twice, the bell is weak.",
    "Delivery was moved to Friday at the customer's wish.",
    "The lamp was replaced free of charge in March.",
    "Second attempt, nobody was home on Tuesday.",
    "The customer pays by invoice.",
    "One of the two boxes was damaged in transit.",
    "Ship together with the other order of the same day.",
    "The rug was back-ordered until May.",
    "The address was confirmed by phone.",
)
NUM_DEVELOPMENT = 190  # attacks of each set that rules were corrected on; never counted


def find_cases(embedder: MiniLMEmbedder) -> list[Case]:
    """The shop's answerable test questions with what hybrid search finds for them."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/kb.db")
        Base.metadata.create_all(engine)
        knowledge = KnowledgeBase(sessionmaker(engine), embedder, Path(folder) / "index")
        knowledge.ingest(read_folder(KNOWLEDGE_DIR)[0], tenant=TENANT)
        cases = [
            Case(q.text, tuple(knowledge.search(q.text, tenant=TENANT, k=5)), q.doc_ids)
            for q in load_questions("test")
            if q.doc_ids and read_intent([Message(role="user", content=q.text)]) is Intent.QUESTION
        ]
        engine.dispose()
    return cases


def agentdojo_goals() -> list[str]:
    """Goals of AgentDojo's injection tasks, read from the installed package's source, not imported; [] without it."""
    spec = find_spec("agentdojo")
    if spec is None or not spec.submodule_search_locations:
        return []
    found = []
    for path in sorted(Path(spec.submodule_search_locations[0]).glob("default_suites/v1/*/injection_tasks.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = _text(node.value, names)
                if value is not None:
                    names[node.targets[0].id] = value
                    found += [value] if node.targets[0].id == "GOAL" else []
    return found


def _text(node: ast.expr, names: dict[str, str]) -> str | None:
    """A literal or f-string of known names; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [_text(part.value if isinstance(part, ast.FormattedValue) else part, names) for part in node.values]
        return "".join(part or "something" for part in parts)
    return names.get(node.id) if isinstance(node, ast.Name) else None


def report_attacks(guard: Guard, cases: Sequence[Case], attacks: Sequence[Attack]) -> None:
    """Print attack success and utility by way of answering, with guards off and on; then by template with guards on."""
    planted = [
        (plant(cases[i % len(cases)], attack, PLACEMENTS[i % len(PLACEMENTS)]), attack, PLACEMENTS[i % len(PLACEMENTS)])
        for i, attack in enumerate(attacks)
    ]
    succeeded: dict[str, list[str]] = defaultdict(list)
    for obedient in (False, True):
        print(f"\n{'obedient model' if obedient else 'quoting':30s} {'guards off':26s} guards on")
        clean = [[ask(c, None, guard=g, obedient=obedient).right for c in cases] for g in (None, guard)]
        print(f"  {'utility, no attack':28s} {rate(clean[0]):26s} {rate(clean[1])}  n={len(cases)}")
        runs = [[ask(case, a, guard=g, obedient=obedient) for case, a, _ in planted] for g in (None, guard)]
        print(f"  {'utility under attack':28s} {rate(_useful(runs[0])):26s} {rate(_useful(runs[1]))}  n={len(planted)}")
        attacked = [[outcome.attacked for outcome in run] for run in runs]
        print(f"  {'attack success':28s} {rate(attacked[0]):26s} {rate(attacked[1])}")
        for place in PLACEMENTS:
            rows = [i for i, (_, _, where) in enumerate(planted) if where == place]
            print(f"    {place:26s} {rate([attacked[0][i] for i in rows]):26s} {rate([attacked[1][i] for i in rows])}")
        for (_, attack, place), won in zip(planted, attacked[1], strict=True):
            if won:
                succeeded[f"{attack.template} / {attack.disguise} / {place}"].append(attack.goal)
    print("\nsucceeded with guards on:")
    print(*(f"  {how}: {what}" for how, what in sorted(succeeded.items())), sep="\n")


def report_tool_results(guard: Guard, attacks: Sequence[Attack]) -> None:
    """Print how often a goal planted in an order's note is still there after cleaning, and how often its end is."""
    plain = [attack for attack in attacks if attack.disguise == "plain"]
    ends = [NOTES[i % len(NOTES)] for i in range(len(plain))]
    cleaned = [guard.clean_text(f"Order placed by phone. {a.text} {end}") for a, end in zip(plain, ends, strict=True)]
    left = [a.goal[:30].lower() in text.lower() for a, text in zip(plain, cleaned, strict=True)]
    kept = [end in text for end, text in zip(ends, cleaned, strict=True)]
    print(f"\ntool results: goal still there {rate(left)}; honest last sentence kept {rate(kept)}  n={len(left)}")


def _useful(outcomes: Sequence[Outcome]) -> list[bool]:
    return [outcome.right and not outcome.attacked for outcome in outcomes]


def main(arguments: Sequence[str]) -> int:
    """Print the whole report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--attacks", type=int, default=600, help="attacks of each set, drawn with a seed")
    options = parser.parse_args(arguments)
    embedder = MiniLMEmbedder()
    guard, cases = Guard(embedder), find_cases(embedder)
    sets = {"our held-back goals": make_attacks(goals("test"), goals("test", chinese=True))}
    if published := agentdojo_goals():
        sets["AgentDojo's goals"] = make_attacks(published, [])
    for name, attacks in sets.items():
        shuffled = random.Random(0).sample(attacks, len(attacks))
        drawn = shuffled[NUM_DEVELOPMENT : NUM_DEVELOPMENT + options.attacks]
        print(f"\n=== {name}: {len(drawn)} of {len(attacks)} attacks")
        report_attacks(guard, cases, drawn)
        report_tool_results(guard, drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
