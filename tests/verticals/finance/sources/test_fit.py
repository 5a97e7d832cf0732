"""Terms learn what the offset does not say, alone and together; a source nobody has gets no term."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.finance.metrics import auc
from verticals.finance.sources.fit import PATTERNS, Recipe, SourceInput, fit_sources
from verticals.finance.sources.names import SOURCES, Source
from verticals.finance.sources.training import term_columns

Inputs = dict[Source, SourceInput]


@pytest.fixture(scope="module")
def data() -> tuple[Inputs, np.ndarray, np.ndarray]:
    """3,000 rows: an offset, and three sources of which each knows something; a fifth of the rows lack the text."""
    rng = np.random.default_rng(0)
    offset = rng.normal(-1.5, 0.5, 3000)
    x = {source: rng.normal(size=(3000, 3)) for source in SOURCES}
    logit = offset + 0.8 * x["history"][:, 0] - 0.7 * x["text"][:, 1] + 0.6 * x["document"][:, 2]
    default = (rng.random(3000) < 1 / (1 + np.exp(-logit))).astype(int)
    x["text"][:600] = np.nan
    names = ("vector_0", "vector_1", "vector_2")
    return {s: SourceInput(f"{s}@1", names, x[s]) for s in SOURCES}, default, offset


def test_each_source_adds_and_so_do_all(data: tuple[Inputs, np.ndarray, np.ndarray]) -> None:
    inputs, default, offset = data
    model = fit_sources(inputs, default, offset, recipe=Recipe(), synthetic=True)
    y = default.astype(float)
    alone = {s: auc(y, offset + term_columns(model, {s: inputs[s]}).sum(1)) for s in SOURCES}
    together = auc(y, offset + term_columns(model, inputs).sum(1))

    assert min(alone.values()) > auc(y, offset) + 0.01
    assert together > max(alone.values()) + 0.02
    assert set(model.gates) == {(False,) * 3, *PATTERNS}
    assert all(
        (g > 0) == there for present, gate in model.gates.items() for g, there in zip(gate, present, strict=True)
    )


def test_a_row_without_a_source_has_exactly_nothing_of_it(data: tuple[Inputs, np.ndarray, np.ndarray]) -> None:
    inputs, default, offset = data
    model = fit_sources(inputs, default, offset, recipe=Recipe(steps=5), synthetic=True)
    term_NS = term_columns(model, inputs)

    assert (term_NS[:600, SOURCES.index("text")] == 0).all()
    assert (term_NS[600:, SOURCES.index("text")] != 0).all()


def test_a_source_that_nobody_has_gets_no_head(data: tuple[Inputs, np.ndarray, np.ndarray]) -> None:
    inputs, default, offset = data
    model = fit_sources({"text": inputs["text"]}, default, offset, recipe=Recipe(steps=5), synthetic=False)

    assert (model.heads["history"], model.bound("history"), model.synthetic) == ((), None, False)
    assert model.gates[(True, True, True)][0] == 0


def test_the_fit_is_the_same_again(data: tuple[Inputs, np.ndarray, np.ndarray]) -> None:
    inputs, default, offset = data
    models = [fit_sources(inputs, default, offset, recipe=Recipe(steps=3), synthetic=True) for _ in range(2)]

    assert (models[0].heads["text"][0].weight_D == models[1].heads["text"][0].weight_D).all()
