"""The core's own suites: perplexity on shipped text, and what weights in few bits change. Ignores the domains.

Both run the checkpoint that is served, on the processor unless TRIVIUM_DEVICE is "cuda". Intervals resample whole
passages, since the tokens of a passage depend on each other.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from service.settings import Settings
from verticals.bootstrap import bootstrap_interval
from verticals.contract import Metric, Progress, Suite, Unavailable

if TYPE_CHECKING:
    from core_model.kernels.library import Kernels

Precision = Literal["int4", "int8", "int8-dynamic", "bf16", "fp32"]
Rows = NDArray[np.float64]

TEXT = Path(__file__).parent / "text" / "passages.md"
DATASET = "Trivium passages 1: English prose written for this project, public domain (CC0-1.0)"


@dataclass(frozen=True)
class PassageLoss:
    """How well one passage was predicted."""

    nll: float  # nats, summed over its tokens but the first
    num_tokens: int
    num_bytes: int  # of the predicted tokens' text


@dataclass(frozen=True)
class PassageDrift:
    """How differently two decoders predict one passage."""

    kl: float  # nats, summed over its tokens
    num_agreed: float  # tokens after which both prefer the same one
    num_tokens: int


def core_suites(settings: Settings) -> list[Suite]:
    """The suites of the core as `settings` serve it; they raise `Unavailable` when the model is not on this machine."""
    model = settings.model.name if settings.model else "embedded default model"
    split = f"all {len(read_passages())} passages, each on its own"
    exact = _exact_precision(settings)
    return [
        Suite(
            name="perplexity",
            dataset=DATASET,
            split=split,
            solver=f"{model}, {settings.precision} as the engine reads a prompt",
            scorer="exp of the mean negative log-likelihood per token; bits per byte of text",
            run=partial(_run_perplexity, settings),
            inside="no operation tells how likely a given text is",
        ),
        Suite(
            name="quantization drift",
            dataset=DATASET,
            split=split,
            solver=f"{model}, {settings.precision} as the engine reads a prompt",
            scorer=f"against {exact}: KL divergence of next-token distributions, agreement of the likeliest token",
            run=partial(_run_drift, settings),
            inside="it compares the weights as they are served with exact ones",
        ),
    ]


def read_passages(path: Path = TEXT) -> list[str]:
    """The passages of the shipped text, without the comment on top."""
    text = path.read_text(encoding="utf-8").partition("-->")[2]
    return [passage.strip() for passage in text.split("\n\n") if passage.strip()]


def perplexity_metrics(losses: Sequence[PassageLoss], *, exact: Sequence[PassageLoss], exact_name: str) -> list[Metric]:
    """Perplexity beside that of unquantized weights, and bits per byte beside those of a general-purpose compressor."""
    rows, exact_rows = _table(losses), _table(exact)
    text = "\n".join(read_passages()).encode()
    zlib_bits_per_byte = 8 * len(zlib.compress(text, level=9)) / len(text)
    return [
        _metric("perplexity", rows, _perplexity, baseline=(exact_name, _perplexity(exact_rows))),
        _metric("bits per byte", rows, _bits_per_byte, baseline=("zlib -9", zlib_bits_per_byte)),
    ]


def drift_metrics(drifts: Sequence[PassageDrift], *, rounding: Sequence[PassageDrift] = ()) -> list[Metric]:
    """Mean KL divergence and top-1 agreement per token, beside what mere bf16 rounding does (`rounding`), if known."""

    def baseline(statistic: Callable[[Rows], float]) -> tuple[str, float] | None:
        return ("bf16", statistic(_table(rounding))) if rounding else None

    return [
        _metric("KL divergence, nats", _table(drifts), _mean_kl, baseline=baseline(_mean_kl)),
        _metric("top-1 agreement", _table(drifts), _agreement, up=True, baseline=baseline(_agreement)),
    ]


def _run_perplexity(settings: Settings, progress: Progress) -> list[Metric]:
    folder, exact = _open(settings, progress), _exact_precision(settings)
    served, kernels = _serving(settings, folder)
    losses = _losses(settings, folder, served, progress, kernels=kernels)
    exact_losses = losses if served == exact else _losses(settings, folder, exact, progress)
    return perplexity_metrics(losses, exact=exact_losses, exact_name=exact)


def _losses(
    settings: Settings, folder: Path, precision: Precision, progress: Progress, *, kernels: Kernels | None = None
) -> list[PassageLoss]:
    from core_model.evaluate import token_nll
    from core_model.loading import load_decoder
    from core_model.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(folder)
    decoder = load_decoder(folder, precision=precision, device=_device(settings), kernels=kernels)
    losses = []
    for idx, passage in enumerate(passages := read_passages()):
        progress(precision, idx / len(passages))
        ids = tokenizer.encode(passage)
        unpredicted = len(tokenizer.decode(ids[:1]).encode())
        nll = float(token_nll(decoder, ids, window=len(ids)).sum())
        losses.append(PassageLoss(nll, len(ids) - 1, len(passage.encode()) - unpredicted))
    return losses


def _run_drift(settings: Settings, progress: Progress) -> list[Metric]:
    folder, exact = _open(settings, progress), _exact_precision(settings)
    served, kernels = _serving(settings, folder)
    drifts = _drifts(settings, folder, exact, served, progress, kernels=kernels)
    rounding = _drifts(settings, folder, exact, "bf16", progress) if exact == "fp32" else []
    return drift_metrics(drifts, rounding=rounding)


def _drifts(
    settings: Settings,
    folder: Path,
    exact: Precision,
    precision: Precision,
    progress: Progress,
    *,
    kernels: Kernels | None = None,
) -> list[PassageDrift]:
    from core_model.evaluate import logits_kl
    from core_model.loading import load_decoder
    from core_model.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(folder)
    reference = load_decoder(folder, precision=exact, device=_device(settings))
    other = load_decoder(folder, precision=precision, device=_device(settings), kernels=kernels)
    drifts = []
    for idx, passage in enumerate(passages := read_passages()):
        progress(f"{precision} against {exact}", idx / len(passages))
        drift = logits_kl(reference, other, tokenizer.encode(passage))
        total = drift.num_tokens
        drifts.append(PassageDrift(drift.mean_kl * total, drift.top1_agreement * total, total))
    return drifts


def _open(settings: Settings, progress: Progress) -> Path:
    """The checkpoint folder that is served; a skip where there is none."""
    if settings.engine != "local":
        raise Unavailable("the served model is remote and its weights cannot be read", field="TRIVIUM_ENGINE")
    if settings.model:
        if not (settings.model / "config.json").is_file():
            raise Unavailable("holds no checkpoint", field="TRIVIUM_MODEL", value=settings.model.name)
        return settings.model
    from core_model.embedded import prepare_default_model

    try:
        return prepare_default_model(settings.home / "models", progress)
    except ValueError as error:
        raise Unavailable(str(error), field="model") from error


def _serving(settings: Settings, folder: Path) -> tuple[Precision, Kernels | None]:
    from core_model.loading import serving

    return serving(folder, settings.precision, device=_device(settings), use_kernels=settings.kernels)


def _exact_precision(settings: Settings) -> Precision:
    """What stands for "unquantized": a model that an operator brings may not fit into memory in fp32."""
    return "bf16" if settings.model else "fp32"


def _device(settings: Settings) -> str:
    return "cuda" if settings.device == "cuda" else "cpu"


# --- statistics over passages: rows are (sum, sum, number of tokens) or (nats, tokens, bytes) ------------------------


def _table(passages: Sequence[PassageLoss] | Sequence[PassageDrift]) -> Rows:
    return np.array([astuple(passage) for passage in passages], dtype=np.float64)


def _perplexity(rows: Rows) -> float:
    return math.exp(rows[:, 0].sum() / rows[:, 1].sum())


def _bits_per_byte(rows: Rows) -> float:
    return float(rows[:, 0].sum() / math.log(2) / rows[:, 2].sum())


def _mean_kl(rows: Rows) -> float:
    return float(rows[:, 0].sum() / rows[:, 2].sum())


def _agreement(rows: Rows) -> float:
    return float(rows[:, 1].sum() / rows[:, 2].sum())


def _metric(
    name: str,
    rows: Rows,
    statistic: Callable[[Rows], float],
    *,
    up: bool = False,
    baseline: tuple[str, float] | None = None,
) -> Metric:
    low, high = bootstrap_interval(rows, statistic)
    label, figure = baseline or (None, None)
    return Metric(
        name=name,
        value=statistic(rows),
        low=low,
        high=high,
        n=len(rows),
        higher_is_better=up,
        baseline=label,
        baseline_value=figure,
    )
