"""A file whose chunks are scored elsewhere, ahead and by copies of the models, gets the same bytes as here."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.batch import csv_pieces
from service.ray_cluster import ray_map
from tests.ports import free_port
from tests.verticals.finance.test_batch import nobody
from verticals.contract import InvalidInput, Unavailable
from verticals.finance.batch import score_file
from verticals.finance.batch_scores import Scored
from verticals.finance.scoring import Models


def elsewhere(function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
    """As another process would: all is copied, and read before the first is scored."""
    copied = pickle.loads(pickle.dumps(function))
    return iter([pickle.loads(pickle.dumps(copied(pickle.loads(pickle.dumps(item))))) for item in list(items)])


def score(models: Models, content: bytes, **run: Any) -> tuple[bytes, list[tuple[list[str], str]]]:
    """The answer, and what was kept: ids and the number of the chunk."""
    kept: list[tuple[list[str], str]] = []

    def keep(scored: Scored, chunk: str) -> None:
        kept.append((scored.ids, chunk.partition(":")[2]))

    answer = score_file(models, io.BytesIO(content), keep=keep, read=nobody, block_bytes=2**14, **run)
    return b"".join(answer.chunks), kept


def test_chunks_scored_elsewhere_come_back_in_order_and_bit_for_bit(models: Models) -> None:
    content = b"".join(csv_pieces(600, bad_every=50))
    here = score(models, content)

    assert len(here[1]) > 3
    assert score(models, content, run=elsewhere) == here


def test_a_file_that_breaks_off_says_so_after_what_was_scored_elsewhere(models: Models) -> None:
    content = b"".join(csv_pieces(600)) + b'"' + b"x" * 2**15
    here = score(models, content)

    assert b"nothing after it was read" in here[0]
    assert score(models, content, run=elsewhere) == here
    with pytest.raises(InvalidInput, match="at least one row"):
        score(models, content.partition(b"\n")[0] + b"\n", run=elsewhere)


def test_a_ray_cluster_gives_the_same_bytes(models: Models) -> None:
    pytest.importorskip("ray", reason="needs the extra package ray")
    content = b"".join(csv_pieces(600, bad_every=50))
    with ray_map("local") as run:
        assert score(models, content, run=run) == score(models, content)


def test_an_address_without_a_cluster_is_named() -> None:
    pytest.importorskip("ray", reason="needs the extra package ray")
    with pytest.raises(Unavailable, match="no Ray cluster answers"), ray_map(f"127.0.0.1:{free_port()}"):
        pass


def test_without_ray_the_command_says_what_to_install() -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        with pytest.raises(Unavailable, match="needs the extra package ray"), ray_map("local"):
            pass
    else:
        pytest.skip("ray is installed")
