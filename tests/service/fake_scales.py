"""A made-up vertical with one live model, which multiplies. Ignores rollouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service.kit import Kit
from service.registry import FileRegistry
from tests.fake_kit import make_kit
from verticals.contract import Context, Decision, Handler, Operation, Resources, Vertical
from verticals.grouped import Asked, Grouped, RecordAll
from verticals.live import LiveModel, Said

MODEL = "scales.factor"
CARD = {"trained_on": "-", "licence": "-", "recipe": "-", "metrics": {}, "limits": "-"}


class Ask(BaseModel):
    subject: str | None = None
    amount: int = 1


class Answer(BaseModel):
    product: int


class Model:
    """Multiplies; a factor of 13 fails at large amounts."""

    def __init__(self, registry: Any) -> None:
        found = registry.load(MODEL)
        self.factor = int(json.loads(found[1]["factor.json"].read_bytes())["factor"]) if found else 0

    def times(self, amount: int) -> int:
        if self.factor == 13 and amount > 1:
            raise RuntimeError("thirteen")
        return self.factor * amount


def build(resources: Resources) -> Mapping[str, Handler]:
    model = Model(resources.registry)
    audited = Decision("scales.weigh", "s", "0" * 64, {}, "scales")

    def weigh(request: Ask, context: Context) -> Answer:
        answer = Answer(product=model.times(request.amount))
        context.record(audited)
        return answer

    def weigh_all(asked: Asked, record: RecordAll) -> list[bytes]:
        answers = [Answer(product=model.times(request.amount)) for request, _ in asked]
        with resources.sessions.begin() as session:
            record([(context, audited) for _, context in asked], session)
        return [answer.model_dump_json().encode() for answer in answers]

    def count(request: Ask, context: Context) -> Iterator[Answer]:
        yield Answer(product=model.times(1))
        yield Answer(product=model.times(1))

    return {"weigh": weigh, "weigh_fast": Grouped(Answer, weigh_all), "count": count}


def say_of(registry: Any) -> Callable[[Ask], Said]:
    model = Model(registry)
    return lambda request: {"product": float(model.times(request.amount)), "is_large": request.amount > 9}


SCALES = Vertical(
    name="scales",
    title="Scales",
    summary="A made-up vertical with one live model.",
    operations=(
        Operation("weigh", Ask, Answer, "Weigh", "/weigh", examples={"one": {"amount": 1}}),
        Operation("weigh_fast", Ask, Answer, "Weigh many", "/weigh-fast"),
        Operation("count", Ask, Answer, "Count", "/count", streaming=True),
    ),
    build=build,
    evals=lambda _resources, _handlers: (),
    demo=lambda _resources, _progress: None,
    models=(LiveModel(MODEL, "weigh", say_of),),
    subjects=("subject",),
)


@contextmanager
def scales_kit(folder: Path) -> Iterator[Kit]:
    """A kit with scales of factor 2 in force."""
    register(FileRegistry(folder / "registry"), 2, activate=True)
    kit = make_kit(folder, {"scales": SCALES})
    try:
        yield kit
    finally:
        kit.close()


def register(registry: FileRegistry, factor: Any, *, activate: bool = False) -> str:
    files = {"factor.json": json.dumps({"factor": factor}).encode()}
    return registry.save(MODEL, files, CARD, activate=activate).version
