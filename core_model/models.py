"""Several models in one process, loaded, swapped and unloaded while they serve. Ignores files, tensors and HTTP.

A swap is a pointer that moves: the new engine is loaded, verified and has answered once before the name means it. What
began on the old engine ends there; the old one is gone when the last of that has ended. Until then two copies are in
memory: a swap needs room for both. Whatever fails on the way leaves the old engine serving. The second may also stay
beside the first and answer some of the requests; who gets which is not decided here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from core_model.engine import Engine
from core_model.generation import SamplingParams
from core_model.host_memory import available_bytes
from core_model.served_model import Ask, Loaded, Model, Place, ServedModel
from core_model.stats import EngineStats

if TYPE_CHECKING:
    from core_model.tokenizer import Tokenizer

_WARM_UP = SamplingParams(max_tokens=2, ignore_eos=True)


OpenModel = Callable[..., tuple[Engine, "Tokenizer"]]  # as `core_model.loading.load_engine`


@dataclass(frozen=True)
class ModelStats:
    """What serves under a name. `num_draining` old engines still finish requests and hold their memory until then."""

    model_version: str
    folder: Path
    beside: Path | None
    previous: Path | None
    num_swaps: int
    num_draining: int
    engine: EngineStats


class ModelPool:
    """Models by name. All methods are safe from any thread; changes wait for each other, requests for none of them.

    Args:
        open_model: Makes a started engine and its tokenizer from a folder and options, and verifies it:
            `core_model.loading.load_engine`.
        keep_free_bytes: Refuse a swap if less main memory than this would be left beside both models, the new one taken
            to be as large as its files. None swaps whatever happens.
        free_bytes: How much is available now; None if that cannot be told, and then nothing is refused.
        keep_previous: Leave what a swap replaced loaded, as long as memory is not needed for another: swapping back is
            a pointer that moves, then.
    """

    def __init__(
        self,
        open_model: OpenModel,
        *,
        keep_free_bytes: int | None = None,
        free_bytes: Callable[[], int | None] = available_bytes,
        keep_previous: bool = False,
    ) -> None:
        self._open, self._keep_free, self._free_bytes = open_model, keep_free_bytes, free_bytes
        self._keep_previous = keep_previous
        self._places: dict[str, Place] = {}
        self._retired: WeakSet[Engine] = WeakSet()  # all that only finish what they have
        self._changing = threading.Lock()

    def load(self, name: str, folder: Path, **options: Any) -> ServedModel:
        """Load a model under a new name.

        Args:
            folder: A checkpoint folder, or whatever else `open_model` opens.
            options: For `open_model`; they also hold for later swaps of this name.

        Raises:
            ValueError: the name is taken, or the model is damaged or fails its first answer.
        """
        with self._changing:
            if name in self._places:
                raise ValueError(f"name: {name!r} is loaded already. Use swap, or another name.")
            opened = Loaded(self._opened(name, folder, options, adapters={}), folder, options)
            self._places[name] = Place((opened, None))
            return self.engine(name)

    def route(self, name: str, ask: Ask) -> None:
        """Let `ask` decide for each request under `name` who answers it."""
        self._place(name).ask = ask

    def beside(self, name: str, folder: Path, **options: Any) -> Model:
        """Another model beside the one that serves, for `route`; a swap to it loads nothing.

        At most one is there: what served before gives its place.

        Raises:
            ValueError: as `swap`.
        """
        with self._changing:
            serving = self._loaded(name)[1][0]
            return self._beside(name, folder, {**serving.options, **options}).model

    def put_away(self, name: str) -> None:
        """Unload what is beside, unless it served before the last swap; what runs there ends there."""
        with self._changing:
            place, (_, other) = self._loaded(name)
            if other is not None and other.folder != place.previous:
                self._forget_other(place)

    def folders(self, name: str) -> tuple[Path, ...]:
        """Of what serves and, if there is one, of what is beside it.

        Raises:
            ValueError: no such name.
        """
        return tuple(each.folder for each in self._loaded(name)[1] if each is not None)

    def swap(self, name: str, folder: Path, **options: Any) -> str:
        """Serve another model under `name` and return its version; requests go on meanwhile, none fails.

        Args:
            options: Replace those given before, one by one.

        Raises:
            ValueError: no such name, too little memory, or the new model is damaged or fails its first answer. The old
                one goes on serving then.
        """
        with self._changing:
            place, (serving, _) = self._loaded(name)
            new = self._beside(name, folder, {**serving.options, **options})
            place.loaded = new, serving
            place.previous = serving.folder
            place.num_swaps += 1
            if not self._keep_previous:
                self._forget_other(place)
            return new.model.engine.model_version

    def unload(self, name: str, *, drain: bool = True) -> None:
        """Serve `name` no longer.

        Args:
            drain: Let what runs end by itself; False cancels it.

        Raises:
            ValueError: no such name.
        """
        with self._changing:
            place, loaded = self._loaded(name)
            del self._places[name]
            place.loaded = None
            for each in filter(None, loaded):
                self._retire(place, each.model.engine)
            if not drain:
                for engine in [*place.draining]:
                    engine.close()

    def load_adapter(self, name: str, adapter: str, folder: Path) -> None:
        """As `Engine.load_adapter`, and again in whatever is swapped in: a model that it does not fit is refused."""
        with self._changing:
            place = self._place(name)
            self.engine(name).current.engine.load_adapter(adapter, folder)
            place.adapters[adapter] = folder
            self._forget_other(place)  # it would have to fit that as well

    def unload_adapter(self, name: str, adapter: str) -> None:
        """As `Engine.unload_adapter`."""
        with self._changing:
            place = self._place(name)
            self.engine(name).current.engine.unload_adapter(adapter)
            place.adapters.pop(adapter, None)

    def engine(self, name: str) -> ServedModel:
        """The name as an engine; it follows swaps.

        Raises:
            ValueError: no such name.
        """
        return ServedModel(name, self._place(name))

    def stats(self) -> dict[str, ModelStats]:
        """What serves, by name."""
        found = {}
        for name, place in [*self._places.items()]:
            if loaded := place.loaded:
                serving, other = loaded
                engine = serving.model.engine
                found[name] = ModelStats(
                    engine.model_version,
                    serving.folder,
                    other.folder if other else None,
                    place.previous,
                    place.num_swaps,
                    sum(engine.is_alive for engine in place.draining),
                    engine.stats(),
                )
        return found

    def close(self) -> None:
        """Unload everything and cancel what runs."""
        for name in [*self._places]:
            self.unload(name, drain=False)
        for engine in [*self._retired]:
            engine.close()

    def __enter__(self) -> ModelPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _place(self, name: str) -> Place:
        if (place := self._places.get(name)) is None:  # one look: it may be unloaded meanwhile
            raise self._unknown(name)
        return place

    def _loaded(self, name: str) -> tuple[Place, tuple[Loaded, Loaded | None]]:
        place = self._place(name)
        if (loaded := place.loaded) is None:
            raise self._unknown(name)
        return place, loaded

    def _unknown(self, name: str) -> ValueError:
        loaded = ", ".join(sorted([*self._places])) or "none"
        return ValueError(f"name: no model is loaded as {name!r} (loaded: {loaded}). Load it first.")

    def _beside(self, name: str, folder: Path, options: Mapping[str, Any]) -> Loaded:
        """It is there already, or takes the place of what is."""
        place, (serving, other) = self._loaded(name)
        if other is None or (other.folder, other.options) != (folder, options):
            self._forget_other(place)  # three would be one too many
            self._refuse_if_too_large(folder)
            other = Loaded(self._opened(name, folder, options, adapters=place.adapters), folder, options)
            place.loaded = serving, other
        return other

    def _forget_other(self, place: Place) -> None:
        assert place.loaded is not None
        serving, other = place.loaded
        place.loaded = serving, None
        if other is not None:
            self._retire(place, other.model.engine)

    def _retire(self, place: Place, engine: Engine) -> None:
        place.draining.add(engine)
        self._retired.add(engine)
        engine.drain()

    def _opened(self, name: str, folder: Path, options: Mapping[str, Any], *, adapters: Mapping[str, Path]) -> Model:
        """A model that has its adapters and has answered once."""
        try:
            model = Model(*self._open(folder, **options))
        except (ValueError, OSError) as error:
            raise ValueError(f"folder: cannot be loaded as {name!r}, and nothing was changed. {error}") from error
        try:
            for adapter, adapter_folder in adapters.items():
                model.engine.load_adapter(adapter, adapter_folder)
            for _ in model.engine.stream(model.tokenizer.encode("Hello") or [0], _WARM_UP):
                pass
        except Exception as error:
            model.engine.close()
            cause = error.__cause__ or error
            raise ValueError(
                f"folder: {folder.name!r} loads but does not work, and nothing was changed "
                f"({type(cause).__name__}: {cause}). Check the model."
            ) from error
        return model

    def _refuse_if_too_large(self, folder: Path) -> None:
        free = None if self._keep_free is None else self._free_bytes()
        if self._keep_free is None or free is None:
            return
        needed = size_on_disk(folder)
        if free - needed < self._keep_free:
            raise ValueError(
                f"folder: too little memory for {folder.name!r} beside what is loaded, and nothing was changed: "
                f"{needed >> 20} MiB of weights, {free >> 20} MiB available, {self._keep_free >> 20} MiB to be kept "
                "free. Unload a model first, or restart with the new one."
            )


def size_on_disk(path: Path) -> int:
    """Bytes of a model's weight files, not counting ready-made copies in subfolders; about what it takes in memory."""
    files = [path] if path.is_file() else [*path.glob("*.safetensors")]
    return sum(file.stat().st_size for file in files)
