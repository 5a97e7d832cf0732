"""Which adapter a name means now, and which adapters are still needed. Ignores weights, threads and requests.

A name may be given to another adapter, or taken away, while requests run: they go on with the adapter that they began
with, and it is let go when the last of them has ended.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Protocol


class LoadedAdapter(Protocol):
    """What an engine knows of an adapter.

    Attributes:
        id: Differs if anything in the adapter does.
        num_virtual_tokens: Positions that it takes before every prompt.
    """

    @property
    def id(self) -> str: ...

    @property
    def num_virtual_tokens(self) -> int: ...


class AdapterRoom(Protocol):
    """Holds the adapters' weights."""

    def add_adapter(self, adapter: Any) -> None:
        """Make an adapter usable; one that is there already stays. ValueError: there are too many."""

    def remove_adapter(self, adapter_id: str) -> None:
        """Let go of an adapter that no request uses."""


class AdapterNames:
    """Name to adapter, over the room that holds the weights. Its caller holds a lock."""

    def __init__(self, room: AdapterRoom) -> None:
        self._room = room
        self._named: dict[str, LoadedAdapter] = {}
        self._held: set[str] = set()  # ids in the room

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(self._named))

    def find(self, name: str | None) -> LoadedAdapter | None:
        """The adapter of that name; None for None.

        Raises:
            ValueError: none is loaded under it.
        """
        if name is not None and name not in self._named:
            loaded = ", ".join(self.loaded) or "none"
            raise ValueError(f"adapter: not loaded (got {name!r}; loaded: {loaded}).")
        return None if name is None else self._named[name]

    def give(self, name: str, adapter: LoadedAdapter) -> None:
        """Let `name` mean `adapter` from now on.

        Raises:
            ValueError: not a name, or there are too many adapters; then nothing has changed.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"adapter: names have 1 to 64 letters, digits, '.', '_' and '-' (got {name!r}). Rename it."
            )
        self._room.add_adapter(adapter)
        self._held.add(adapter.id)
        self._named[name] = adapter

    def take(self, name: str) -> None:
        """Forget a name.

        Raises:
            ValueError: as in `find`.
        """
        self.find(name)
        del self._named[name]

    def clean(self, in_use: Collection[str]) -> None:
        """Let go of adapters that have neither a name nor one of the ids `in_use`."""
        for adapter_id in self._held - {adapter.id for adapter in self._named.values()} - set(in_use):
            self._room.remove_adapter(adapter_id)
            self._held.remove(adapter_id)


_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
