"""A restaurant and a taxi in words, a few labelled dialogues, and an encoder of random weights in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from verticals.support.state.dialogue import Act, Turn
from verticals.support.state.schema import Intent, Service, Slot
from verticals.support.state.sgd import Dialogue, Labelled

TABLES = Service(
    "Tables",
    "Book a table",
    (
        Slot("city", "City of the restaurant"),
        Slot("restaurant_name", "Name of the restaurant"),
        Slot("time", "Time of the booking"),
        Slot("party_size", "Number of people", ("1", "2", "3")),
        Slot("has_music", "Whether there is music", ("True", "False")),
        Slot("phone", "Phone number of the restaurant"),
    ),
    (
        Intent("Find", "Find a restaurant", ("city",), ("has_music",)),
        Intent("Book", "Book a table", ("restaurant_name", "time"), ("party_size",)),
    ),
)
TAXI = Service(
    "Taxi",
    "Call a taxi",
    (Slot("destination", "Where the taxi goes"), Slot("riders", "Number of people", ("1", "2", "3"))),
    (Intent("Ride", "Call a taxi", ("destination", "riders")),),
)
SERVICES = {"Tables": TABLES, "Taxi": TAXI}

OFFERED = (Act("Tables", "OFFER", "restaurant_name", "Blue Door"), Act("Tables", "OFFER", "city", "Napa"))


def dialogue(city: str, time: str) -> Dialogue:
    """A customer finds a restaurant, takes the offered one, and calls a taxi to it."""
    first = {"city": (city,)}
    second = {**first, "restaurant_name": ("Blue Door",)}
    third = {**second, "time": (time,), "party_size": ("2",)}
    taxi = {"destination": ("Blue Door",)}
    return Dialogue(
        f"{city}-{time}",
        (
            Labelled(Turn(f"Find me a restaurant in {city}."), {"Tables": first}),
            Labelled(Turn("Yes, that one is good.", "How about Blue Door?", OFFERED), {"Tables": second}),
            Labelled(
                Turn(f"At {time} for two people.", "When?", (Act("Tables", "REQUEST", "time"),)), {"Tables": third}
            ),
            Labelled(Turn("And a taxi to get there.", "It is booked."), {"Taxi": taxi}),
        ),
    )


def write_model(folder: Path) -> Path:
    """An encoder like MiniLM with 3 layers of width 16 and random weights; its words are those of the dialogues."""
    width, layers = 16, 3
    texts = [d.turns for d in (dialogue("Napa", "7 pm"), dialogue("Reno", "noon"))]
    words = {w.lower() for turns in texts for t in turns for w in (t.turn.user + " " + t.turn.system).split()}
    words |= {w.strip(".,?").lower() for w in words} | {".", ",", "?", "7", "pm"}
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"num_hidden_layers": layers, "num_attention_heads": 2, "layer_norm_eps": 1e-12, "hidden_size": width}
    (folder / "config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "embeddings.word_embeddings": (len(vocabulary), width),
        "embeddings.position_embeddings": (300, width),
        "embeddings.token_type_embeddings": (2, width),
    }
    weights = {f"{name}.weight": torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
        for name in ("query", "key", "value"):
            weights |= _linear(f"{at}.attention.self.{name}", width, width, generator)
        weights |= _linear(f"{at}.attention.output.dense", width, width, generator)
        weights |= _linear(f"{at}.intermediate.dense", 2 * width, width, generator)
        weights |= _linear(f"{at}.output.dense", width, 2 * width, generator)
    for norm in norms:
        weights |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
    save_file(weights, folder / "model.safetensors")
    return folder


def _linear(name: str, out: int, into: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": torch.randn(out, into, generator=generator) / into**0.5, f"{name}.bias": torch.zeros(out)}
