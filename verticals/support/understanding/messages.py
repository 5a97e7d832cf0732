"""A message's intent and tone in one pass; the shop's intents are prepared at set-up. Ignores the conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from verticals.contract import ModelCard, ModelRegistry, Progress, Unavailable
from verticals.support.schemas import Tone
from verticals.support.understanding.emotion import EmotionModel
from verticals.support.understanding.encoder import TaskEncoder, TextReader
from verticals.support.understanding.intent import IntentModel, IntentReading
from verticals.support.understanding.tone import strongest, tone_shares

UTTERANCES = Path(__file__).parent / "utterances.jsonl"
INTENTS, _FILE = "support.intents", "intents.safetensors"  # name in the registry, and of its file
OUT_OF_SCOPE = "out_of_scope"
# Of familiarity: `benchmarks.understanding shop` shows what holding intents out of the training utterances gives.
SHOP_THRESHOLD = 0.02


@dataclass(frozen=True)
class Utterances:
    """Example messages of the shop and their intents."""

    texts: list[str]
    intents: list[str]


@dataclass(frozen=True)
class Understanding:
    """What one message says.

    Attributes:
        emotions: Probability of each emotion that holds, furthest above its threshold first; often none.
        tones: Share of each tone, summing to 1; `signals.fuse` takes them.
    """

    intent: IntentReading
    emotions: Mapping[str, float]
    tones: Mapping[Tone, float]

    @property
    def tone(self) -> Tone:
        """The strongest tone."""
        return strongest(self.tones)


class MessageReader:
    """Intent and tone of messages; safe from many threads.

    Args:
        reader: Tokenizer and weights of the encoder, shared.
    """

    def __init__(self, reader: TextReader, intents: IntentModel, emotions: EmotionModel) -> None:
        self._intents, self._emotions = intents, emotions.head
        self._encoder = TaskEncoder(reader, {"intent": intents.delta, "emotion": emotions.delta})

    def read(self, text: str) -> Understanding:
        """Read one message; only its first words count, see `encoder.MAX_TOKENS`."""
        vectors = self._encoder.encode([text])
        (intent,) = self._intents.read([text], vectors["intent"])
        (probability_C,) = self._emotions.predict(vectors["emotion"])
        strengths = dict(zip(self._emotions.labels, probability_C / self._emotions.threshold_C, strict=True))
        probabilities = dict(zip(self._emotions.labels, map(float, probability_C), strict=True))
        held = sorted((name for name, strength in strengths.items() if strength >= 1), key=strengths.__getitem__)
        return Understanding(intent, {name: probabilities[name] for name in reversed(held)}, tone_shares(strengths))


def load_utterances(split: str) -> Utterances:
    """The shop's "train" or "test" utterances; those of intent `OUT_OF_SCOPE` are in "test" alone."""
    lines = UTTERANCES.read_text("utf-8").splitlines()[1:]  # the first says licence and origin
    rows = [row for row in map(json.loads, lines) if row["split"] == split]
    return Utterances([row["text"] for row in rows], [row["intent"] for row in rows])


def prepare_intents(registry: ModelRegistry, progress: Progress) -> None:
    """Fit the shop's intents and register them, unless these utterances have been by this recipe."""
    found = registry.load(INTENTS)
    if found is not None and is_current(found[0]):
        return
    from verticals.support.understanding.intent_training import RECIPE, train_intents
    from verticals.support.understanding.tuning import UpperLayers

    shop = load_utterances("train")
    progress("Learning the shop's intents", 0.0)
    layers = UpperLayers(TextReader(), RECIPE.first_layer)
    model = train_intents(
        layers.read(shop.texts),
        shop.intents,
        layers,
        on_progress=lambda share: progress("Learning the shop's intents", share),
    ).with_threshold(SHOP_THRESHOLD)
    card = {
        **_origin(),
        "data": {UTTERANCES.name: hashlib.sha256(UTTERANCES.read_bytes()).hexdigest()},
        "command": "trivium prepare",
        "licence": "Apache-2.0",
        "metrics": {},
        "limits": "English; the invented shop's intents. `python -m benchmarks.understanding shop` measures it.",
    }
    registry.save(INTENTS, {_FILE: model.to_bytes()}, card)


def is_current(card: ModelCard) -> bool:
    """Whether a registered model is of today's utterances, recipe and threshold."""
    return {"trained_on": card.trained_on, "recipe": card.recipe} == _origin()


def _origin() -> dict[str, str]:
    from verticals.support.understanding.intent_training import recipe_text

    sha256 = hashlib.sha256(UTTERANCES.read_bytes()).hexdigest()
    return {
        "trained_on": f"utterances.jsonl of this vertical, written by hand, @{sha256[:12]}",
        "recipe": f"{recipe_text()}, scope from {SHOP_THRESHOLD}",
    }


def load_reader(registry: ModelRegistry) -> MessageReader:
    """The reader over the registered intents and the shipped emotions.

    Raises:
        Unavailable: the intents are not prepared, or a file is damaged.
    """
    found = registry.load(INTENTS)
    if found is None:
        raise Unavailable("no intents are registered", field=INTENTS, remedy="Prepare them with `trivium prepare`.")
    try:
        return MessageReader(TextReader(), IntentModel.from_file(found[1][_FILE]), EmotionModel.load())
    except ValueError as error:
        raise Unavailable(str(error), field=INTENTS, remedy="Run `trivium prepare`.") from error
