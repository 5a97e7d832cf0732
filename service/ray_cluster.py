"""A Ray cluster, and a `map` on it that gives results in order. Ignores what is worked on. Needs the package ray."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from verticals.contract import Unavailable

_CONNECT_TIMEOUT_S = 5
_AHEAD = 2  # items in work, over the cluster's processors: one is worked on, one waits beside it


@contextmanager
def ray_cluster(address: str) -> Iterator[Any]:
    """The module `ray`, connected while the block runs.

    Args:
        address: Of a cluster whose machines have this package installed, or "local": one on this machine, ended with
            the block.
    Raises:
        Unavailable: ray is not installed, did not start, or no cluster answers there.
    """
    try:
        import ray
    except ImportError as error:
        raise Unavailable(
            "needs the extra package ray", field="--ray", remedy="Install it: `pip install -c constraints.txt ray`."
        ) from error
    try:
        host, _, port = address.rpartition(":")
        if host:  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S).close()
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    except (OSError, ValueError) as error:
        raise Unavailable(
            "no Ray cluster answers", field="--ray", value=address, remedy="Start it: `ray start --head`."
        ) from error
    except Exception as error:  # Ray raises bare ones
        raise Unavailable(
            f"Ray did not start: {error}", field="--ray", value=address, remedy="A busy machine may need another try."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def ray_map(address: str) -> Iterator[Callable[[Callable[[Any], Any], Iterator[Any]], Iterator[Any]]]:
    """The `map`, while the block runs; `address` and errors as of `ray_cluster`."""
    with ray_cluster(address) as ray:
        yield partial(_ordered, ray)


def num_processors(ray: Any) -> int:
    """Of the whole cluster."""
    return int(ray.cluster_resources()["CPU"])


def _ordered(ray: Any, function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
    shared, call = ray.put(function), ray.remote(_call)  # sent to each machine once
    most = _AHEAD * num_processors(ray)
    running: deque[Any] = deque()
    for item in items:
        running.append(call.remote(shared, item))
        if len(running) >= most:
            yield ray.get(running.popleft())
    while running:
        yield ray.get(running.popleft())


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
