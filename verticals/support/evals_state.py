"""The nightly figure of dialogue state tracking, beside copying the last value. Ignores training; see `state`."""

from __future__ import annotations

from collections.abc import Sequence

from verticals.contract import Metric, Progress, Resources, Suite

NUM_DIALOGUES = 300  # one update takes some 20 ms


def state_suites(resources: Resources) -> Sequence[Suite]:
    """One suite: what the agent uses here, on public dialogues."""

    def run(progress: Progress) -> list[Metric]:
        from verticals.support.state.evaluation import every, joint_goal_accuracy
        from verticals.support.state.rules import CopyLastValue, RuleScorer
        from verticals.support.state.sgd import read_sgd
        from verticals.support.state.shop import trained_scorer

        progress("Reading dialogues", 0.0)
        splits = read_sgd(resources.data_dir, "train", "dev")
        dev, seen = splits["dev"], splits["train"].services
        dialogues = every(dev.dialogues, NUM_DIALOGUES)
        progress("Following dialogues", 0.3)
        scorer = trained_scorer(resources.registry) or RuleScorer()
        figures = joint_goal_accuracy(dialogues, dev.services, scorer, seen=seen)
        copied = joint_goal_accuracy(dialogues, dev.services, CopyLastValue(), seen=seen)
        return [
            Metric(
                name=f"joint goal accuracy, {group} services",
                value=figure.value,
                low=figure.low,
                high=figure.high,
                n=figure.n,
                baseline="copy the last value",
                baseline_value=copied[group].value,
            )
            for group, figure in figures.items()
        ]

    return [
        Suite(
            name="dialogue state",
            dataset="Schema-Guided Dialogue (Rastogi 2020, CC BY-SA 4.0)",
            split=f"dev, {NUM_DIALOGUES} dialogues spread over the split; 95 % bootstrap over dialogues",
            solver="the registered scorer, else the rules; the system's own acts are known",
            scorer="joint goal accuracy as the DSTC8 scorer counts it, fuzzy for slots without listed values",
            run=run,
            inside="the dialogues are about other services than the shop's",
        )
    ]
