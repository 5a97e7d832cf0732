"""What an intent adds to the rules that find a customer's task, on the shop's own utterances.

    python -m benchmarks.suggestions

The reader is fitted on the training half; the figures are of the test half, out-of-scope messages too (written by
hand for the invented shop, nobody's real messages). A message of an intent in `TOOL_OF` has a task; a task that is
proposed for any other message, or another task, is wrong. Nothing is done on a proposal: it is checked, completed and
confirmed first. Seconds on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrieval.embed import MiniLMEmbedder
from verticals.bootstrap import wilson_interval
from verticals.support.listening import TOOL_OF, suggest
from verticals.support.rule_planner import RulePlanner
from verticals.support.schemas import Message, Understood
from verticals.support.understanding.intent import IntentReading, fit_intents
from verticals.support.understanding.messages import SHOP_THRESHOLD, Utterances, load_utterances

Propose = Callable[[str, IntentReading], str | None]


def read_test() -> tuple[Utterances, list[IntentReading]]:
    """The test half and how the reader of the shop's intents reads it."""
    train, test, embed = load_utterances("train"), load_utterances("test"), MiniLMEmbedder().embed
    model = fit_intents(train.texts, train.intents, embed(train.texts)).with_threshold(SHOP_THRESHOLD)
    return test, model.read(test.texts, embed(test.texts))


def by_rules(text: str, _: IntentReading) -> str | None:
    """The task that words name."""
    proposal = RulePlanner().propose([Message(role="user", content=text)], None, tenant="none")
    return proposal.tool if proposal else None


def with_intent(text: str, read: IntentReading) -> str | None:
    """The same, or what the intent stands for."""
    understood = Understood(intent=read.intent, confidence=min(1.0, read.confidence), in_scope=read.in_scope)
    return by_rules(text, read) or suggest(text, understood)


def report(name: str, propose: Propose, test: Utterances, readings: Sequence[IntentReading]) -> None:
    """One line: how many tasks were found, and how many proposals were wrong."""
    rows = [
        (intent, propose(text, read)) for text, intent, read in zip(test.texts, test.intents, readings, strict=True)
    ]
    tasks = [tool for intent, tool in rows if intent in TOOL_OF]
    others = [tool for intent, tool in rows if intent not in TOOL_OF]
    found, wrong = sum(tool is not None for tool in tasks), sum(tool is not None for tool in others)
    for what, count, total in (("messages with a task, one found", found, len(tasks)), ("others", wrong, len(others))):
        low, high = wilson_interval(count, total)
        print(f"{name:12} {what:32} {count:3} of {total:3}  {count / total:.3f} ({low:.3f} to {high:.3f})")


def main() -> None:
    """Rules alone, then with intents."""
    test, readings = read_test()
    report("rules", by_rules, test, readings)
    report("with intents", with_intent, test, readings)


if __name__ == "__main__":
    main()
