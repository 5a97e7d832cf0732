"""Opens a domain's suites where they run: in this process over the kit, or against a live API. Ignores running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from service.auth import Caller
from service.discovery import discover
from service.evals.core_suites import core_suites
from service.evals.isolation import Declared, OpenSuites
from service.evals.live import LiveApi, ask_live, live_handlers
from service.evals.nightly import Bench
from service.evals.plugins import Call, find_plugins, plugin_suites
from service.evals.runner import declare_suites
from service.settings import Settings
from verticals.contract import Metric, Operation, Progress, Resources, Suite, Unavailable, Vertical

if TYPE_CHECKING:  # it takes a second to import
    from langchain_core.language_models import BaseChatModel

CORE = "core"


def benches(
    settings: Settings, *, tenant: str, live: LiveApi | None, make: Callable[[str, OpenSuites], Bench]
) -> list[Bench]:
    """A bench for the core, each vertical and each plug-in, from domain and opener; none is opened yet."""
    domains = [CORE, *discover(), *find_plugins(settings.evals)]

    def opener(domain: str) -> OpenSuites:
        if live is not None:
            return partial(open_live, settings, domain, live)
        return partial(open_core, settings) if domain == CORE else partial(open_local, settings, domain, tenant)

    return [make(domain, opener(domain)) for domain in domains]


@contextmanager
def open_core(settings: Settings) -> Iterator[Declared]:
    """The core's suites, which open the model themselves."""
    yield Declared(declare_suites(lambda: core_suites(settings)), {})


@contextmanager
def open_local(settings: Settings, domain: str, tenant: str) -> Iterator[Declared]:
    """A vertical's or a plug-in's suites over a kit of their own process; plug-ins ask as `tenant`."""
    from service.monitoring import configure_logging
    from service.wiring import build

    configure_logging(settings.log_level, json=settings.log_json)
    kit = build(settings, on_progress=lambda what, share: None)

    def call(vertical: str, operation: str, fields: Mapping[str, Any]) -> Any:
        declared = kit.operation(vertical, operation)
        caller = Caller(tenant=tenant, key_id="evals", scopes=("*",))
        request = declared.request.model_validate(fields)
        return _whole(declared, kit.invoke(vertical, operation, request, caller=caller, request_id="evals"))

    def count_tokens() -> int:
        return sum(
            stats.engine.prompt_tokens_total + stats.engine.generated_tokens_total
            for stats in (kit.models.stats().values() if kit.models else ())
        )

    try:
        models = {card.name: card.version for card in kit.registry.cards()} | {CORE: kit.resources.model_version}
        suites = declare_domain(
            settings, domain, kit.verticals, lambda vertical: (kit.resources, kit.handlers[vertical.name]), call
        )
        yield Declared(suites, models, count_tokens)
    finally:
        kit.close()


@contextmanager
def open_live(settings: Settings, domain: str, live: LiveApi) -> Iterator[Declared]:
    """The suites that go through operations, against a live API; the others are skipped by name."""
    from service.monitoring import configure_logging

    configure_logging(settings.log_level, json=settings.log_json)
    verticals = discover()
    with live.connect() as client:
        models = {CORE: str(client.health().get("model", "not told"))}
        chat_model = live.chat_model() if client.may("core.generate") else None

        def call(vertical: str, operation: str, fields: Mapping[str, Any]) -> Any:
            declared = next(each for each in verticals[vertical].operations if each.name == operation)
            return _whole(declared, ask_live(client, vertical, declared, declared.request.model_validate(fields)))

        suites = declare_domain(
            settings,
            domain,
            verticals,
            lambda vertical: (_live_resources(settings, chat_model), live_handlers(client, vertical)),
            call,
            judged_as=judged_live if domain == CORE or domain in verticals else list,
        )
        yield Declared(suites, models, workers=live.concurrency)


def declare_domain(
    settings: Settings,
    domain: str,
    verticals: Mapping[str, Vertical],
    parts: Callable[[Vertical], tuple[Resources, Mapping[str, Any]]],
    call: Call,
    *,
    judged_as: Callable[[Sequence[Suite]], list[Suite]] = list,
) -> Sequence[Suite]:
    """The suites of a domain; if they cannot be declared, one that fails with the reason, however they are judged."""
    if domain == CORE:
        declare: Callable[[], Sequence[Suite]] = partial(core_suites, settings)
    elif domain in verticals:
        declare = lambda: verticals[domain].evals(*parts(verticals[domain]))  # noqa: E731
    else:
        declare = lambda: plugin_suites(find_plugins(settings.evals)[domain], call)  # noqa: E731
    return declare_suites(lambda: judged_as(declare()))


def _live_resources(settings: Settings, chat_model: BaseChatModel | None) -> Resources:
    """What suites get that go through operations: the data, the live model by itself if the key opens it, no more."""
    nothing: Any = None
    return Resources(
        engine=nothing,
        chat_model=chat_model or nothing,
        retriever=nothing,
        registry=nothing,
        sessions=nothing,
        data_dir=settings.data,
    )


def judged_live(suites: Sequence[Suite]) -> list[Suite]:
    """The suites as a live API is judged by them: one that goes through no operation is not measured, and says why."""
    return [suite if suite.operations else _stays_inside(suite) for suite in suites]


def _stays_inside(suite: Suite) -> Suite:
    def skip(progress: Progress) -> Sequence[Metric]:
        raise Unavailable(
            f"not measured through a live API: {suite.inside or 'it goes through no operation'}",
            remedy="Run it without --url where the models are.",
        )

    return replace(suite, run=skip)


def _whole(operation: Operation, answer: Any) -> BaseModel | list[BaseModel] | Any:
    return list(answer) if operation.streaming else answer
