"""The tiny encoder, and torch on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.verticals.support.state.tiny_state import write_model
from verticals.support.state.encoder import TurnEncoder


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TurnEncoder:
    return TurnEncoder(write_model(tmp_path_factory.mktemp("encoder")))
