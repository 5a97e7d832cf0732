"""Several models in one process: loaded, swapped under load, rolled back, unloaded; no request ever fails for it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from core_model.chat_model import EngineChatModel
from core_model.config import parse_config
from core_model.engine import Engine
from core_model.generation import EngineStopped, RequestOptions, SamplingParams
from core_model.kv_cache import PagedCache
from core_model.model import Decoder
from core_model.models import ModelPool
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from core_model.weights import Weights
from tests.core_model.fake_runner import FakeRunner
from tests.core_model.tiny import LLAMA, make_tokenizer, random_llama, text_of, wait_until

A, B = Path("a"), Path("b")
FIVE = SamplingParams(max_tokens=5)


def refuse(folder: Path) -> None:
    raise ValueError("adapter: made for another model.")


class Shop:
    """Opens fake models: each answers with the letter of its folder. Remembers its engines weakly."""

    def __init__(self) -> None:
        self.runners: dict[Path, FakeRunner] = {}
        self.engines: list[weakref.ref[Engine]] = []
        self.options: list[dict[str, Any]] = []

    def open(self, folder: Path, **options: Any) -> tuple[Engine, Tokenizer]:
        if folder.name == "missing":
            raise ValueError("folder: no config.json in it.")
        tokenizer = make_tokenizer()
        runner = FakeRunner(tokenizer.encode(folder.name))
        if folder.name == "unfitting":
            runner.read_adapter = refuse  # type: ignore[method-assign,assignment]
        self.runners[folder] = runner
        self.options.append(options)
        engine = Engine(runner, tokenizer, model_version=folder.name, eos_ids=tokenizer.eos_ids, max_context=64)
        self.engines.append(weakref.ref(engine))
        return engine.start(), tokenizer


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def pool(shop: Shop) -> Iterator[ModelPool]:
    with ModelPool(shop.open) as pool:
        yield pool
        for runner in shop.runners.values():
            runner.gate.set()


def engine_threads() -> int:
    return sum(thread.name == "trivium-engine" for thread in threading.enumerate())


def test_several_models_serve_side_by_side(pool: ModelPool) -> None:
    one, two = pool.load("one", A), pool.load("two", B)

    assert text_of(one.stream([1], FIVE))[0] == "aaaaa"
    assert text_of(two.stream([1], FIVE))[0] == "bbbbb"
    assert {name: stats.model_version for name, stats in pool.stats().items()} == {"one": "a", "two": "b"}


def test_after_a_swap_the_handle_means_the_new_model(pool: ModelPool) -> None:
    served = pool.load("core", A)

    assert pool.swap("core", B) == "b"

    assert text_of(served.stream([1], FIVE))[0] == "bbbbb"
    assert served.model_version == "b"


def test_what_began_before_a_swap_ends_on_the_old_model_and_then_that_is_gone(pool: ModelPool, shop: Shop) -> None:
    served = pool.load("core", A)
    shop.runners[A].gate.clear()
    stream = served.stream([1], FIVE)
    pool.swap("core", B)
    assert pool.stats()["core"].num_draining == 1

    shop.runners[A].gate.set()

    assert text_of(stream) == ("aaaaa", "length")
    wait_until(lambda: pool.stats()["core"].num_draining == 0)
    wait_until(lambda: gc.collect() >= 0 and shop.engines[0]() is None)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (Path("missing"), r"cannot be loaded as 'core', and nothing was changed\. folder: no config"),
        (Path("fails"), r"does not work, and nothing was changed \(RuntimeError: matcher stopped\)"),
    ],
)
def test_a_swap_that_fails_leaves_the_old_model_serving(folder: Path, message: str) -> None:
    shop, before = Shop(), engine_threads()

    def open_model(wanted: Path, **options: Any) -> tuple[Engine, Tokenizer]:
        engine, tokenizer = shop.open(wanted, **options)
        if wanted.name == "fails":
            shop.runners[wanted]._next = lambda work: RuntimeError("matcher stopped")  # type: ignore[method-assign]
        return engine, tokenizer

    with ModelPool(open_model) as pool:
        served = pool.load("core", A)
        with pytest.raises(ValueError, match=message):
            pool.swap("core", folder)

        assert text_of(served.stream([1], FIVE))[0] == "aaaaa"
        assert pool.stats()["core"].num_swaps == 0
        assert engine_threads() == before + 1


def test_options_hold_until_a_swap_gives_others(pool: ModelPool, shop: Shop) -> None:
    served = pool.load("core", A, precision="fp32")
    pool.swap("core", B)
    pool.swap("core", A, precision="int8")

    assert text_of(served.stream([1], FIVE))[0] == "aaaaa"
    assert shop.options == [{"precision": name} for name in ("fp32", "fp32", "int8")]


def test_a_model_beside_answers_whom_it_is_given_and_a_swap_to_it_loads_nothing(pool: ModelPool, shop: Shop) -> None:
    served, takes_new = pool.load("core", A), [False]
    pool.route("core", lambda use, serving, other: use(other if takes_new[0] and other else serving))
    pool.beside("core", B)

    assert (text_of(served.stream([1], FIVE))[0], served.model_version) == ("aaaaa", "a")
    takes_new[0] = True
    assert (text_of(served.stream([1], FIVE))[0], served.model_version) == ("bbbbb", "b")
    takes_new[0] = False
    assert pool.swap("core", B) == "b"
    assert (text_of(served.stream([1], FIVE))[0], len(shop.engines)) == ("bbbbb", 2)


def test_what_is_put_away_ends_what_it_began(pool: ModelPool, shop: Shop) -> None:
    served = pool.load("core", A)
    pool.route("core", lambda use, serving, other: use(other or serving))
    pool.beside("core", B)
    shop.runners[B].gate.clear()
    stream = served.stream([1], FIVE)

    pool.put_away("core")
    assert text_of(served.stream([1], FIVE))[0] == "aaaaa"
    shop.runners[B].gate.set()

    assert text_of(stream) == ("bbbbb", "length")
    assert pool.folders("core") == (A,)


def test_a_kept_previous_model_is_back_without_being_loaded_and_there_is_never_a_third(shop: Shop) -> None:
    with ModelPool(shop.open, keep_previous=True) as pool:
        served = pool.load("core", A)
        pool.swap("core", B)

        assert pool.swap("core", A) == "a"
        assert text_of(served.stream([1], FIVE))[0] == "aaaaa"
        pool.put_away("core")
        assert pool.swap("core", B) == "b"
        assert len(shop.engines) == 2
        pool.swap("core", Path("c"))
        wait_until(lambda: gc.collect() >= 0 and shop.engines[0]() is None)


def test_unloading_lets_answers_end_or_cancels_them(pool: ModelPool, shop: Shop) -> None:
    kept, dropped = pool.load("kept", A), pool.load("dropped", B)
    for runner in shop.runners.values():
        runner.gate.clear()
    streams = kept.stream([1], FIVE), dropped.stream([1], FIVE)
    engine = dropped.current.engine
    pool.unload("kept")
    leaving = threading.Thread(target=lambda: pool.unload("dropped", drain=False))
    leaving.start()
    wait_until(lambda: not engine.is_alive)
    for runner in shop.runners.values():
        runner.gate.set()
    leaving.join()

    assert text_of(streams[0]) == ("aaaaa", "length")
    assert text_of(streams[1])[1] == "cancelled"
    with pytest.raises(EngineStopped, match="'kept' is not loaded"):
        kept.stream([1], FIVE)


@pytest.mark.parametrize("at", [1, 2])
def test_a_name_that_is_unloaded_as_it_is_looked_up_is_no_name_any_more(pool: ModelPool, at: int) -> None:
    pool.load("core", A)

    class Vanishing(str):
        """A name that is unloaded by another thread at its `at`-th look-up."""

        __hash__ = str.__hash__
        num_looks = 0

        def __eq__(self, other: object) -> bool:
            self.num_looks += 1
            if self.num_looks == at:
                pool.unload("core")
            return str(self) == other

    found: object
    try:
        found = pool.folders(Vanishing("core"))
    except ValueError as error:
        found = str(error)

    assert found in ((A,), "name: no model is loaded as 'core' (loaded: none). Load it first.")


def test_adapters_follow_a_swap_or_stop_it(pool: ModelPool, shop: Shop) -> None:
    served = pool.load("core", A)
    pool.load_adapter("core", "polite", Path("polite"))
    asked = RequestOptions(adapter="polite")

    pool.swap("core", B)
    assert text_of(served.stream([1], FIVE, options=asked))[0] == "bbbbb"
    with pytest.raises(ValueError, match="nothing was changed"):
        pool.swap("core", Path("unfitting"))
    assert text_of(served.stream([1], FIVE, options=asked))[0] == "bbbbb"

    pool.unload_adapter("core", "polite")
    assert pool.swap("core", Path("unfitting")) == "unfitting"
    with pytest.raises(ValueError, match="adapter: "):
        served.stream([1], FIVE, options=asked)


def test_bad_names_are_refused(pool: ModelPool) -> None:
    pool.load("core", A)

    with pytest.raises(ValueError, match="'core' is loaded already"):
        pool.load("core", B)
    for call in (lambda: pool.swap("x", B), lambda: pool.unload("x"), lambda: pool.engine("x")):
        with pytest.raises(ValueError, match=r"no model is loaded as 'x' \(loaded: core\)"):
            call()


def test_a_swap_that_would_leave_too_little_memory_is_refused(tmp_path: Path, shop: Shop) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(3 << 20))
    with ModelPool(shop.open, keep_free_bytes=8 << 20, free_bytes=lambda: 10 << 20) as pool:
        served = pool.load("core", A)

        with pytest.raises(ValueError, match="3 MiB of weights, 10 MiB available, 8 MiB to be kept free"):
            pool.swap("core", tmp_path)

        assert served.model_version == "a"


def open_tiny(folder: Path, **options: Any) -> tuple[Engine, Tokenizer]:
    """A random decoder seeded by the folder's name."""
    tokenizer, config = make_tokenizer(), parse_config(LLAMA)
    tensors = {name: torch.roll(tensor, int(folder.name), 0) for name, tensor in random_llama().items()}
    decoder = Decoder(config, Weights(tensors, precision="fp32"))
    cache = PagedCache(config, num_pages=32, page_size=8, dtype=decoder.dtype, device=decoder.device)
    engine = Engine(
        ModelRunner(decoder, cache),
        tokenizer,
        model_version=folder.name,
        eos_ids=tokenizer.eos_ids,
        max_context=128,
    )
    return engine.start(), tokenizer


def test_twenty_swaps_under_load_fail_no_request_and_mix_no_answer() -> None:
    """Every answer is that of exactly one of the two models; no engine, thread or memory of an old one remains."""
    before, old = engine_threads(), list[weakref.ref[Engine]]()
    params = SamplingParams(max_tokens=8, ignore_eos=True)
    shared = list(range(30))  # every prompt begins alike, so that a stale cache would be found
    prompts = [[*shared, i] for i in range(6)]
    expected = {}
    for version in ("1", "2"):
        engine, _ = open_tiny(Path(version))
        with engine:
            answers = [tuple(t for c in engine.stream(p, params) for t in c.token_ids) for p in prompts]
        expected[version] = answers
    assert all(one != two for one, two in zip(*expected.values(), strict=True))

    with ModelPool(open_tiny) as pool, ThreadPoolExecutor(len(prompts)) as readers:
        served, stop = pool.load("core", Path("1")), threading.Event()
        num_read = [0] * len(prompts)

        def read(i: int) -> list[tuple[int, ...]]:
            seen = list[tuple[int, ...]]()
            while not stop.is_set():
                seen.append(tuple(t for c in served.stream(prompts[i], params) for t in c.token_ids))
                num_read[i] += 1
            return seen

        running = [readers.submit(read, i) for i in range(len(prompts))]
        for i in range(20):
            old.append(weakref.ref(served.current.engine))
            pool.swap("core", Path("12"[(i + 1) % 2]))
            goals = [num + 2 for num in num_read]  # the first of them began before the swap, the last after it
            wait_until(lambda goals=goals: all(num >= goal for num, goal in zip(num_read, goals, strict=True)))  # type: ignore[misc]
        stop.set()
        seen = [future.result() for future in running]
        wait_until(lambda: pool.stats()["core"].num_draining == 0)

        assert all(answer in (expected["1"][i], expected["2"][i]) for i in range(6) for answer in seen[i])
        assert all({expected["1"][i], expected["2"][i]} == set(seen[i]) for i in range(6))
        assert served.model_version == "1"
        wait_until(lambda: engine_threads() == before + 1)
        wait_until(lambda: gc.collect() >= 0 and not any(engine() for engine in old))
    assert engine_threads() == before


def test_a_chat_encodes_and_generates_with_one_model(pool: ModelPool) -> None:
    """The swap comes between encoding and streaming: the whole request is done again by the new model."""
    served = pool.load("core", A)
    encoded_by = []

    def swap_meanwhile(tokenizer: Tokenizer) -> None:
        encoded_by.append(served.model_version)
        if len(encoded_by) == 1:
            pool.swap("core", B)

    class Watched:
        """The handle, whose tokenizers tell when they are used."""

        model_version = "x"

        def call(self, use: Callable[[Any], Any]) -> Any:
            def watched(model: Any) -> Any:
                class Tokens:
                    def apply_chat_template(self, turns: Any) -> list[int]:
                        swap_meanwhile(model.tokenizer)
                        return list(model.tokenizer.apply_chat_template(turns))

                return use((model.engine, Tokens()))

            return served.call(watched)

    answer = EngineChatModel(engine=Watched(), max_tokens=3).invoke("hi")

    assert answer.content == "bbb"
    assert answer.response_metadata["model_name"] == "b"
    assert encoded_by == ["a", "b"]
