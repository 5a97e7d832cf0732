"""A message's intent and tone in one pass; the shop's intents are prepared at set-up. Ignores the conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retrieval.bert import weights_sha256
from verticals.contract import ModelCard, ModelRegistry, Progress, Unavailable
from verticals.support.schemas import Tone
from verticals.support.understanding.emotion import EmotionModel
from verticals.support.understanding.encoder import TaskEncoder, TextReader
from verticals.support.understanding.intent import IntentModel, IntentReading
from verticals.support.understanding.tone import strongest, tone_shares

UTTERANCES = Path(__file__).parent / "utterances.jsonl"
INTENTS, _FILE = "support.intents", "intents.safetensors"  # name in the registry, and of its file
MINILM = "all-MiniLM-L6-v2"
_ENCODER = "encoder.json"  # folder and SHA-256 of the encoder that reads intents, unless it is MiniLM
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
        reader: Tokenizer and weights of MiniLM.
        intent_reader: Those of another encoder that the intents were fitted with; costs a pass of its own.
    """

    def __init__(
        self,
        reader: TextReader,
        intents: IntentModel,
        emotions: EmotionModel,
        *,
        intent_reader: TextReader | None = None,
    ) -> None:
        self._intents, self._emotions = intents, emotions.head
        own, shared = {"intent": intents.delta}, {"emotion": emotions.delta}
        self._encoders = [TaskEncoder(reader, shared if intent_reader else own | shared)]
        if intent_reader:
            self._encoders.append(TaskEncoder(intent_reader, own))

    def read(self, text: str) -> Understanding:
        """Read one message; only its first words count, see `encoder.MAX_TOKENS`."""
        vectors = {task: read for encoder in self._encoders for task, read in encoder.encode([text]).items()}
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


def prepare_intents(registry: ModelRegistry, progress: Progress, encoder_dir: Path | None = None) -> None:
    """Fit the shop's intents and register them, unless these utterances have been by this recipe and encoder.

    Args:
        encoder_dir: Of the encoder that is to read them; MiniLM if None.
    Raises:
        Unavailable: there is no encoder in that folder.
    """
    try:
        sha256 = weights_sha256(encoder_dir) if encoder_dir else ""
        encoder = f"{encoder_dir.name}@{sha256[:12]}" if encoder_dir else MINILM
        found = registry.load(INTENTS)
        if found is not None and is_current(found[0], encoder):
            return
        reader = TextReader(encoder_dir)
    except ValueError as error:
        remedy = "Correct it, or leave it out for the embedded MiniLM."
        raise Unavailable(str(error), field="TRIVIUM_ENCODER", remedy=remedy) from error
    model = _learn(reader, progress)
    card = {
        **_origin(encoder),
        "data": {UTTERANCES.name: hashlib.sha256(UTTERANCES.read_bytes()).hexdigest()},
        "command": "trivium prepare",
        "licence": "Apache-2.0",
        "metrics": {},
        "limits": "English; the invented shop's intents. `python -m benchmarks.understanding shop` measures it.",
    }
    files = {_FILE: model.to_bytes()}
    if encoder_dir:
        files[_ENCODER] = json.dumps({"folder": str(encoder_dir.resolve()), "sha256": sha256}).encode()
    registry.save(INTENTS, files, card)


def _learn(reader: TextReader, progress: Progress) -> IntentModel:
    from verticals.support.understanding.intent_training import intent_layers, train_intents

    shop, layers = load_utterances("train"), intent_layers(reader)
    progress("Learning the shop's intents", 0.0)
    return train_intents(
        layers.read(shop.texts),
        shop.intents,
        layers,
        on_progress=lambda share: progress("Learning the shop's intents", share),
    ).with_threshold(SHOP_THRESHOLD)


def is_current(card: ModelCard, encoder: str = MINILM) -> bool:
    """Whether a registered model is of today's utterances, recipe and threshold, and of this encoder."""
    return {"trained_on": card.trained_on, "recipe": card.recipe} == _origin(encoder)


def _origin(encoder: str) -> dict[str, str]:
    from verticals.support.understanding.intent_training import recipe_text

    sha256 = hashlib.sha256(UTTERANCES.read_bytes()).hexdigest()
    return {
        "trained_on": f"utterances.jsonl of this vertical, written by hand, @{sha256[:12]}",
        "recipe": f"{recipe_text(encoder)}, scope from {SHOP_THRESHOLD}",
    }


def load_reader(registry: ModelRegistry) -> MessageReader:
    """The reader over the registered intents, by the encoder that they were fitted with, and the shipped emotions.

    Raises:
        Unavailable: the intents are not prepared, a file is damaged, or the encoder's folder holds another one now.
    """
    found = registry.load(INTENTS)
    if found is None:
        raise Unavailable("no intents are registered", field=INTENTS, remedy="Prepare them with `trivium prepare`.")
    files = found[1]
    try:
        own = _encoder(files[_ENCODER]) if _ENCODER in files else None
        intents = IntentModel.from_file(files[_FILE])
        return MessageReader(TextReader(), intents, EmotionModel.load(), intent_reader=own)
    except ValueError as error:
        raise Unavailable(str(error), field=INTENTS, remedy="Run `trivium prepare`.") from error


def _encoder(file: Path) -> TextReader:
    """The encoder that intents were fitted with.

    Raises:
        ValueError: it is gone, or another one.
    """
    told = json.loads(file.read_text("utf-8"))
    folder = Path(told["folder"])
    if weights_sha256(folder) != told["sha256"]:
        raise ValueError(f"encoder: {folder.name} holds another encoder than the intents were fitted with.")
    return TextReader(folder)
