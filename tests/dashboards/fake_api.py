"""The real HTTP layer over made-up handlers, for tests and screenshots of the dashboards.

python -m tests.dashboards.fake_api --port 8123 --home build/fake --key-file build/key
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

from service.api import create_app
from service.wiring import open_tokens
from tests.dashboards import (
    fake_evals,
    fake_finance,
    fake_histories,
    fake_medical,
    fake_operations,
    fake_strategy,
    fake_support,
)
from tests.fake_kit import make_kit
from verticals import finance, medical, support
from verticals.contract import Context, Handler, Operation, Vertical


class Toss(BaseModel):
    """A request with a field of every plain kind."""

    times: int = Field(3, ge=1, le=10, description="How often to toss.")
    coin: str = "penny"
    fair: bool = True
    options: dict[str, int] = Field(default_factory=dict)


class Tossed(BaseModel):
    heads: int
    coin: str


def _toss(request: Toss, _context: Context) -> Tossed:
    return Tossed(heads=request.times // 2, coin=request.coin)


FOURTH = Vertical(
    name="coins",
    title="Coins",
    summary="A made-up fourth vertical.",
    operations=(Operation("toss", Toss, Tossed, "Toss a coin", "/toss"),),
    build=lambda _resources: {"toss": _toss},
    evals=lambda _resources, _handlers: (),
    demo=lambda _resources, _progress: None,
)


def _finance(*, filled: bool) -> Mapping[str, Handler]:
    return {
        **fake_finance.handlers(filled=filled),
        **fake_strategy.handlers(),
        **fake_histories.handlers(filled=filled),
    }


def make_app(home: Path, *, filled: bool = True, settings: Mapping[str, Any] | None = None) -> tuple[FastAPI, str]:
    """The application and a key for it; with an issuer among its `settings`, it takes tokens too.

    Args:
        home: Folder for its SQLite file.
        filled: Whether there are studies, tickets, decisions and evaluation runs already.
    """
    verticals = {
        "finance": replace(finance.VERTICAL, build=lambda _: _finance(filled=filled)),
        "medical": replace(medical.VERTICAL, build=lambda _: fake_medical.handlers(filled=filled)),
        "support": replace(support.VERTICAL, build=lambda _: fake_support.handlers(filled=filled)),
        "coins": FOURTH,
    }
    kit = make_kit(home, verticals, settings={"watch_s": 600, **(settings or {})})  # what is made up stays
    kit = replace(kit, tokens=open_tokens(kit.settings))
    if filled:
        fake_evals.store(fake_evals.reports(), sessions=kit.sessions, folder=kit.settings.reports)
    app = create_app(kit)
    if filled:
        fake_operations.fill(app)
    return app, kit.keys.issue(tenant="demo", label="test", scopes=("*", "models.*", "operations.*"))


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--empty", action="store_true")
    args = parser.parse_args()
    args.home.mkdir(parents=True, exist_ok=True)
    app, key = make_app(args.home, filled=not args.empty)
    args.key_file.write_text(key)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
