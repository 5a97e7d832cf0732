"""The development data of the harm classifier and its split. Ignores what is made of it; the product runs without it.

A text is held back by the hash of its words, a fifth of each set, so that the split needs no file and no order.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

ORDINARY = Path(__file__).parent / "ordinary.jsonl"  # ours: ordinary questions to a shop that sound dangerous


def is_held_back(text: str) -> bool:
    """Whether a text is of the fifth that nothing is trained or tuned on."""
    words = " ".join(re.findall(r"\w+", text.lower()))
    return int.from_bytes(hashlib.sha256(f"trivium-safety:{words}".encode()).digest()[:8], "big") % 5 == 0


def harmful_requests(data_dir: Path) -> list[str]:
    """AdvBench (520; Zou 2023, arXiv:2307.15043) and HarmBench (200; Mazeika 2024, arXiv:2402.04249); both MIT.

    Raises:
        FileNotFoundError: the data set is not there.
    """
    advbench = (data_dir / "safety/advbench/adv_bench.prompt").read_text("utf-8")
    values = re.findall(r"^- value: (.+?)\n  data_type:", advbench, re.MULTILINE | re.DOTALL)
    harmbench = (data_dir / "safety/harmbench/harmbench_prompts.txt").read_text("utf-8").splitlines()
    return _distinct([*(re.sub(r"\s+", " ", value).strip("'\"") for value in values), *harmbench])


def ordinary_requests(data_dir: Path, split: str) -> dict[str, list[str]]:
    """Ordinary messages by source: "train" for fitting and tuning, "test" for figures.

    banking77 (CC BY 4.0) and GoEmotions (CC BY 4.0; its dev part serves as test) in their own splits, NLU++ (CC BY 4.0)
    by `is_held_back`, and ours. PersistBench's prompts to assistants (MIT) are a benchmark and serve as test alone.

    Raises:
        FileNotFoundError: a data set is not there.
    """
    support, held = data_dir / "support", split == "test"
    with (support / f"banking77/{split}.csv").open(encoding="utf-8", newline="") as file:
        banking = [row["text"] for row in csv.DictReader(file)]
    emotions = (support / f"goemotions/{'dev' if held else 'train'}.tsv").read_text("utf-8").splitlines()
    folds = sorted((support / "nlupp").glob("*/fold*.json"))
    spoken = [row["text"] for fold in folds for row in json.loads(fold.read_text("utf-8"))]
    prompts = sorted((support / "persistbench").glob("*.jsonl")) if held else []
    asked = [json.loads(line)["query"] for path in prompts for line in path.read_text("utf-8").splitlines()]
    sources = {
        "banking77": _distinct(banking),
        "GoEmotions": _distinct(line.split("\t")[0] for line in emotions),
        "NLU++": [text for text in _distinct(spoken) if is_held_back(text) == held],
        "ours": own_ordinary_requests(split),
        "PersistBench": _distinct(asked),
    }
    return {source: texts for source, texts in sources.items() if texts}


def own_ordinary_requests(split: str) -> list[str]:
    """Our own questions that sound dangerous and are not; always there."""
    rows = map(json.loads, ORDINARY.read_text("utf-8").splitlines())
    return [row["text"] for row in rows if row["split"] == split]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))
