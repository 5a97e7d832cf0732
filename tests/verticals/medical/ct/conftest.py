"""One small synthetic chest for all tests of this folder, and what a detector saw of it."""

from __future__ import annotations

import pytest

from verticals.medical.ct.lungs import Lungs, find_lungs
from verticals.medical.ct.phantom import Phantom, make_phantom

SEED = 20_000  # of no chest that is trained or tested on


@pytest.fixture(scope="session")
def chest() -> Phantom:
    return make_phantom(SEED, num_nodules=5)


@pytest.fixture(scope="session")
def lungs(chest: Phantom) -> Lungs:
    found = find_lungs(chest.volume)
    assert found is not None
    return found
