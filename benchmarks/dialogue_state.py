"""How well the tracker follows public dialogues in services it was not trained on, and how long an update takes.

Run from the repository root: TRIVIUM_DATA=... python -m benchmarks.dialogue_state [--untrained] [--again]
Data: Schema-Guided Dialogue (Rastogi 2020, arXiv:1909.05855, CC BY-SA 4.0): trained on a sample of `train`, figures of
`dev`, on which nothing was chosen. The scorer is trained once (tens of minutes on one core) and kept in the
temporary folder; --again trains anew. Joint goal accuracy follows the DSTC8 scorer (see `state.scoring`). The published
baseline reads words alone; this tracker, as an agent does, also knows the system's own acts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.setting import MODELS, machine
from verticals.support.state.dialogue import Act, State, Turn
from verticals.support.state.encoder import TurnEncoder
from verticals.support.state.evaluation import GROUPS, every, joint_goal_accuracy
from verticals.support.state.neural import WEIGHTS, load_scorer
from verticals.support.state.rules import CopyLastValue, NoChange, RuleScorer
from verticals.support.state.sgd import Split, read_sgd
from verticals.support.state.shop import shop_services
from verticals.support.state.tracker import Scorer, StateTracker
from verticals.support.state.training import NUM_DIALOGUES, train_tracker

PUBLISHED = "published baseline (Rastogi 2020): 0.254 on the full test split, 0.383 on dev (its README)"
SHOP_TALK = (
    Turn("Hi, the robot vacuum I bought arrived broken and I want my money back."),
    Turn("It is MP-10004.", "Which order is it in?", (Act("Refund", "REQUEST", "order_id"),)),
    Turn(
        "Yes, that is right.",
        "Shall I refund the Spruce robot vacuum of order MP-10004?",
        (Act("Refund", "CONFIRM", "item", "Spruce robot vacuum"), Act("Refund", "CONFIRM", "order_id", "MP-10004")),
    ),
    Turn("Also send MP-10003 to 12 Elm Street, Sampleton, IL 62704 please."),
    Turn("And pause my membership.", "Done. Anything else?"),
)


def main(argv: list[str] | None = None) -> int:
    """Train if needed, then print the table and the latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=int, default=3_000, help="of dev, at most")
    parser.add_argument("--train", type=int, default=NUM_DIALOGUES, help="dialogues of train to learn from")
    parser.add_argument("--untrained", action="store_true", help="only what needs no training")
    parser.add_argument("--again", action="store_true", help="train anew")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(machine() + ", one thread")
    data_dir = Path(os.environ["TRIVIUM_DATA"]) if "TRIVIUM_DATA" in os.environ else None
    splits = read_sgd(data_dir, "train", "dev")
    dev, seen = splits["dev"], splits["train"].services
    dialogues = every(dev.dialogues, options.dialogues)
    scorers: dict[str, Scorer] = {
        "state never changes": NoChange(),
        "copy last value": CopyLastValue(),
        "rules": RuleScorer(),
    }
    if not options.untrained:
        scorers["trained"] = _trained(splits["train"], num_dialogues=options.train, again=options.again)
    print(f"\nSchema-Guided Dialogue dev, {len(dialogues)} dialogues, joint goal accuracy [95 % interval] (frames)")
    for name, scorer in scorers.items():
        found = joint_goal_accuracy(dialogues, dev.services, scorer, seen=seen)
        cells = [f"{g} {found[g].value:.3f} [{found[g].low:.3f}, {found[g].high:.3f}] ({found[g].n})" for g in GROUPS]
        print(f"  {name:20s}", "  ".join(cells), flush=True)
    print(f"  {PUBLISHED}")
    for name in ("rules", "trained"):
        if name in scorers:
            report_latency(name, scorers[name])
    return 0


def _trained(split: Split, *, num_dialogues: int, again: bool) -> Scorer:
    """The scorer of an earlier run if there is one."""
    path = MODELS / WEIGHTS
    if again or not path.is_file():
        files, card = train_tracker(split, _show, num_dialogues=num_dialogues)
        MODELS.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[WEIGHTS])
        print(f"\ntrained on {card['trained_on']}; {card['recipe']}")
    return load_scorer(path, TurnEncoder())


def _show(what: str, share: float) -> None:
    print(f"\r{what} {share:4.0%}", end="", flush=True)


def report_latency(name: str, scorer: Scorer, repeats: int = 40) -> None:
    """Print how long an update of all the demo shop's services takes, and the state that it comes to."""
    tracker = StateTracker(shop_services(), scorer)
    times = []
    for _ in range(repeats):
        state = State()
        for turn in SHOP_TALK:
            start = time.perf_counter()
            state = tracker.update(state, turn)
            times.append(1000 * (time.perf_counter() - start))
    low, high = np.percentile(times[len(SHOP_TALK) :], [50, 95])
    print(f"\nDemo shop, all services, one update, {name}: p50 {low:.1f} ms, p95 {high:.1f} ms; state after the talk:")
    for service, values in state.values.items():
        print(f"  {service}: {dict(values)}")


if __name__ == "__main__":
    sys.exit(main())
