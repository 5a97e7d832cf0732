"""Language models that repeat a letter, as versions of the core. Ignores what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core_model.engine import Engine
from core_model.tokenizer import Tokenizer
from tests.core_model.fake_runner import FakeRunner
from tests.core_model.tiny import make_tokenizer


class Letters:
    """Opens folders: each model repeats the last letter of its folder's name; one of "x" fails when it is asked.

    Attributes:
        runners: By folder's name; closing a runner's gate holds its answers.
        num_opened: Models so far.
    """

    def __init__(self) -> None:
        self.runners: dict[str, FakeRunner] = {}
        self.num_opened = 0

    def open(self, folder: Path, **_options: Any) -> tuple[Engine, Tokenizer]:
        """As `core_model.loading.load_engine`."""
        if (folder / "broken").exists():
            raise ValueError("config.json: cannot be read.")
        self.num_opened += 1
        tokenizer = make_tokenizer()
        runner = self.runners[folder.name] = FakeRunner(tokenizer.encode(folder.name[-1]))
        engine = Engine(
            runner, tokenizer, model_version=folder.name, eos_ids=tokenizer.eos_ids, max_context=4096, max_waiting=256
        )
        return engine.start(), tokenizer


def make_folder(models: Path, name: str, *, content: str = "weights") -> None:
    """A model's folder among the models."""
    (models / name).mkdir(parents=True)
    (models / name / "model.safetensors").write_text(content)
