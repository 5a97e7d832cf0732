"""The operations of credit scoring: answers, and the rows that a decision leaves behind. Computes no score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import (
    Artifact,
    ArtifactStream,
    Context,
    Handler,
    ModelRegistry,
    Resources,
)
from verticals.finance import schemas, serving_schemas
from verticals.finance.batch import Run, score_file
from verticals.finance.batch_scores import Scored
from verticals.finance.compiled import CompiledModels
from verticals.finance.counterfactual import counterfactual
from verticals.finance.documents.handlers import DocumentDesk
from verticals.finance.explain import explain
from verticals.finance.exports import EXPORTS
from verticals.finance.fraud.cards import CardDesk
from verticals.finance.fraud.cases import CaseDesk
from verticals.finance.histories.embeddings import InBackground
from verticals.finance.histories.handlers import HistoryDesk
from verticals.finance.inputs import InputCounts
from verticals.finance.manual.desk import OverrideDesk, decision_item, held_overrides
from verticals.finance.model_card import distribution, model_card
from verticals.finance.policies import PolicyBook
from verticals.finance.portfolio.handlers import Portfolio
from verticals.finance.records import keep_chunk, keep_decisions
from verticals.finance.scoring import Models, load_models, new_id
from verticals.finance.sources.handlers import SourceDesk
from verticals.finance.sources.reading import Reading
from verticals.finance.sources.store import open_stores, read_all
from verticals.finance.strategy_handlers import StrategyDesk
from verticals.finance.tables import FinanceDecision
from verticals.finance.validation.handlers import ValidationDesk
from verticals.grouped import Grouped, RecordAll


def build(resources: Resources) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    finance = Finance(resources.registry, resources.sessions)
    stores = open_stores(resources.sessions, resources.registry)
    sources, wake = stores.sources, InBackground(stores.refresh).wake
    histories = HistoryDesk(resources.sessions, stores.events, stores.embeddings, sources.erase, wake)
    desk = SourceDesk(resources.sessions, finance, sources, lambda: resources.retriever.embedder)
    cases, cards = CaseDesk(resources.sessions), CardDesk(resources.sessions, resources.registry)
    portfolio, policies = Portfolio(finance.serving, resources.sessions), finance.policies
    validation = ValidationDesk(finance.serving, portfolio.overrides)
    overrides = OverrideDesk(resources.sessions, policies.active)
    return {
        "score": Grouped(schemas.ScoreResponse, finance.score),
        "score_batch": finance.score_batch,
        "explain": finance.explain,
        "counterfactual": finance.counterfactual,
        "export": finance.export,
        "model": finance.model,
        "distribution": finance.distribution,
        "decisions": finance.decisions,
        "override_decision": overrides.override,
        "confirm_override": overrides.confirm,
        "application_record": overrides.record,
        "proposed_overrides": overrides.proposed,
        "validation": validation.validation,
        "validate_sample": validation.validate_sample,
        "reject_inference": validation.reject_inference,
        "model_document": validation.model_document,
        "expected_loss": validation.expected_loss,
        "simulate": StrategyDesk(finance.serving, policies).simulate,
        "policies": policies.list_policies,
        "policy": policies.get_policy,
        "store_policy": policies.store_policy,
        "activate_policy": policies.activate_policy,
        "roll_back_policy": policies.roll_back_policy,
        "portfolio": portfolio.portfolio,
        "record_outcomes": portfolio.record_outcomes,
        "append_events": histories.append,
        "events": histories.events,
        "erase_events": histories.erase,
        "features": histories.features,
        "score_cards": cards.score,
        "keep_cards": cards.keep,
        "label_cards": cards.label,
        "fraud_model": cards.describe,
        "open_case": cases.open,
        "cases": cases.list_cases,
        "case": cases.get,
        "decide_case": cases.decide,
        "documents": DocumentDesk(sources.file_document).read,
        "file_text": desk.file_text,
        "sources": desk.sources,
    }


def recover(resources: Resources) -> int:
    """Make the vectors and terms that a stopped process or a new model left due; how many."""
    stores = open_stores(resources.sessions, resources.registry)
    return stores.refresh() + stores.sources.make_missing()


class Finance:
    """Handlers over one registry and one database. Models are read at the first use and then kept."""

    def __init__(self, registry: ModelRegistry, sessions: sessionmaker[Session]) -> None:
        self._registry = registry
        self._sessions = sessions
        self._lock = Lock()
        self._models: Models | None = None
        self._compiled: dict[str, CompiledModels] = {}  # by tenant
        self._inputs = InputCounts(sessions)
        self.policies = PolicyBook(sessions, lambda: self._ready().scorecard.scaling)

    def score(self, asked: Sequence[tuple[schemas.ScoreRequest, Context]], record: RecordAll) -> list[bytes]:
        """Score applications that came together, and record all decisions in one transaction."""
        by_tenant: dict[str, list[int]] = {}
        for place, (_, context) in enumerate(asked):
            by_tenant.setdefault(context.tenant, []).append(place)
        answers: dict[int, bytes] = {}
        with self._sessions.begin() as session:
            for places in by_tenant.values():
                compiled = self._compiled_for(asked[places[0]][1])
                pairs = [(asked[p][0].application_id or new_id(), asked[p][0]) for p in places]
                customers = [asked[p][0].customer for p in places]
                readings = self._readings(session, compiled.models, asked[places[0]][1].tenant, customers)
                found = compiled.answer(pairs, readings)
                callers = [asked[p][1] for p in places]
                keep_decisions(session, compiled.models, list(zip(callers, found, strict=True)), record)
                self._inputs.keep_due(session, asked[places[0]][1].tenant, compiled)
                answers |= {p: one.content for p, one in zip(places, found, strict=True)}
        return [answers[place] for place in range(len(asked))]

    def score_batch(self, request: schemas.BatchRequest, context: Context, *, run: Run = map) -> ArtifactStream:
        """Score the good rows of a file, report the bad ones, and record the decisions a chunk at a time.

        `run` as in `score_file`.
        """
        models = self.serving(context)

        def keep(scored: Scored, chunk: str) -> None:
            keep_chunk(self._sessions, context, models, scored, chunk=chunk)
            self._inputs.keep(context.tenant, models.version, scored.bin_counts)

        def read(customers: Sequence[str | None]) -> list[Reading | None] | None:
            with self._sessions() as session:
                return self._readings(session, models, context.tenant, customers)

        return score_file(models, request.file.open(), keep=keep, read=read, run=run)

    def model(self, request: schemas.ModelRequest, context: Context) -> schemas.ModelResponse:
        """The model card with bins, weights and validation."""
        return model_card(self.serving(context))

    def distribution(self, request: schemas.DistributionRequest, context: Context) -> schemas.DistributionResponse:
        """Out-of-fold points of the development sample, by the active policy's decision."""
        return distribution(self.serving(context))

    def decisions(self, request: schemas.DecisionsRequest, context: Context) -> schemas.DecisionPage:
        """The tenant's decisions, newest first, each with what a person decided instead."""
        mine = select(FinanceDecision).where(FinanceDecision.tenant == context.tenant)
        with self._sessions() as session:
            total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
            page = session.scalars(
                mine.order_by(FinanceDecision.id.desc()).limit(request.limit).offset(request.offset)
            ).all()
            manual = held_overrides(session, context.tenant, [row.id for row in page])
        items = [decision_item(row, manual.get(row.id)) for row in page]
        return schemas.DecisionPage(items=items, total=total, limit=request.limit, offset=request.offset)

    def serving(self, context: Context) -> Models:
        """What answers the caller: the models in force under the tenant's policy in force."""
        return replace(self._ready(), policy=self.policies.active(context.tenant))

    def explain(self, request: serving_schemas.ExplainRequest, context: Context) -> serving_schemas.ExplainResponse:
        """Why an application would score what it scores; nothing is decided or recorded."""
        return explain(self.serving(context), request, self.reading(context, request.customer))

    def counterfactual(
        self, request: serving_schemas.CounterfactualRequest, context: Context
    ) -> serving_schemas.CounterfactualResponse:
        """The smallest changes that would approve an application; nothing is decided or recorded."""
        return counterfactual(self.serving(context), request, self.reading(context, request.customer))

    def reading(self, context: Context, customer: str | None) -> Reading | None:
        """What a score would read of a customer's sources now."""
        with self._sessions() as session:
            found = self._readings(session, self.serving(context), context.tenant, [customer])
        return found[0] if found else None

    def export(self, request: serving_schemas.ExportRequest, context: Context) -> Artifact:
        """The scorecard in force for systems that do not run Python."""
        models = self._ready()
        make, media_type = EXPORTS[request.format]
        content = make(models.scorecard, version=models.version, sources=request.sources)
        return Artifact(content=content, media_type=media_type, filename=f"scorecard.{request.format}")

    def _readings(
        self, session: Session, models: Models, tenant: str, customers: Sequence[str | None]
    ) -> list[Reading | None] | None:
        """What the sources of these customers say; None, and nothing is read, if no customer was named."""
        if not any(customers):
            return None
        return read_all(session, tenant, customers, model=models.sources, modes=models.policy.sources)

    def _ready(self) -> Models:
        with self._lock:
            if self._models is None:
                self._models = load_models(self._registry)
            return self._models

    def _compiled_for(self, context: Context) -> CompiledModels:
        """What answers the caller, prepared; made again when the tenant's policy is another."""
        models, kept = self.serving(context), self._compiled.get(context.tenant)
        if kept is None or kept.models.policy != models.policy:
            kept = self._compiled[context.tenant] = CompiledModels(models)
        return kept
