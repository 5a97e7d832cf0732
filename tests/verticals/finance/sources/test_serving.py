"""From what is filed of a customer to a score that counts it, in every way to a score, and to its erasure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select

from retrieval.embed import MiniLMEmbedder
from tests.conftest import wait_for
from tests.verticals.finance.applications import body
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from tests.verticals.finance.sources.small_models import FakeEmbedder, register, small_model
from tests.verticals.finance.test_batch import csv_of
from verticals.contract import Context, Decision, Handler, InvalidInput, Resources, UploadedFile
from verticals.finance import policy_schemas, schemas, serving_schemas
from verticals.finance.handlers import recover
from verticals.finance.histories.schemas import EraseRequest, EventsRequest
from verticals.finance.policies import PolicyBook
from verticals.finance.replay import replay
from verticals.finance.sources.schemas import SourcesRequest, TextRequest
from verticals.finance.sources.store import SourceStore
from verticals.finance.sources.tables import FinanceEvidence, FinanceSourceTerm

WORDS = "I would like to buy a used car. I lost my job and my contract."
SIM = "sim-9-000001"


def file_text(served: Mapping[str, Any], context: Context, customer: str = SIM, text: str = WORDS) -> Any:
    return served["file_text"](TextRequest(customer=customer, text=text), context)


def file_events(served: Mapping[str, Any], context: Context, customer: str = SIM) -> None:
    events = [
        {"event_id": f"e-{i}", "at": f"2026-0{i + 1}-03T06:00:00Z", "kind": "late_fee", "amount": "25.00"}
        for i in range(5)
    ]
    served["append_events"](EventsRequest.model_validate({"customer": customer, "events": events}), context)
    wait_for(lambda: parts(served, context, customer)["history"].state != "missing")


def parts(served: Mapping[str, Any], context: Context, customer: str = SIM) -> dict[str, Any]:
    found = served["sources"](SourcesRequest(customer=customer), context)
    return {part.source: part for part in found.parts}


def score(served: Mapping[str, Any], context: Context, **changes: Any) -> schemas.ScoreResponse:
    found: schemas.ScoreResponse = served["score"](schemas.ScoreRequest.model_validate(body(**changes)), context)
    return found


def activate(served: Mapping[str, Any], context: Context, **sources: str) -> None:
    draft = policy_schemas.PolicyDraft.model_validate(
        {"version": "own", "effective_from": date(2026, 1, 1), "source": "a validator's decision", "sources": sources}
        | {"cost_bad_approved": 5, "cost_good_declined": 1, "cost_review": 0.5}
    )
    served["store_policy"](draft, context)
    served["activate_policy"](policy_schemas.ActivateRequest(version="own", reason="as it was decided"), context)


def test_a_text_counts_and_the_parts_add_up_to_the_score(served: Mapping[str, Handler], context: Context) -> None:
    bare, filed = score(served, context), file_text(served, context)
    found = score(served, context, customer=SIM)
    told = next(part for part in found.sources if part.source == "text")

    assert (told.state, told.bound, told.synthetic, found.synthetic) == ("used", 1.5, True, True)
    assert told == filed.part
    assert 0 < told.logit < 1.5
    assert found.logit == bare.logit + told.logit
    total = found.base_points + sum(c.points for c in found.contributions) + sum(p.points for p in found.sources)
    assert total == pytest.approx(found.points_exact, abs=1e-9)
    assert found.base_points - sum(r.points_lost for r in found.reasons) + found.other_points == pytest.approx(
        found.points_exact, abs=1e-9
    )


def test_a_source_among_the_principal_reasons_says_what_in_it(served: Mapping[str, Handler], context: Context) -> None:
    file_text(served, context, text="We need a boiler. " + "I lost my job and lost my savings. " * 2)
    reason = next(r for r in score(served, context, customer=SIM).reasons if r.feature == "text")

    assert reason.code == "S02"
    assert reason.text == "What the application says of purpose, work and plans: sentence 2 of 3"


def test_nothing_filed_or_nobody_named_scores_to_the_bit_as_the_table(
    served: Mapping[str, Handler], context: Context
) -> None:
    bare, nobody = score(served, context), score(served, context, customer="c-1")

    assert (nobody.points_exact, nobody.prob_default, nobody.logit) == (
        bare.points_exact,
        bare.prob_default,
        bare.logit,
    )
    assert bare.sources == []
    assert [(part.state, part.logit, part.points) for part in nobody.sources] == [("missing", 0, 0)] * 3


def test_events_become_a_term_that_names_its_aspects(served: Mapping[str, Handler], context: Context) -> None:
    file_events(served, context)
    told = parts(served, context)["history"]

    assert told.state == "used"
    assert told.as_of == datetime(2026, 5, 3, 6, tzinfo=UTC)
    assert "fees for late payment" in [aspect.text for aspect in told.aspects]


def test_a_documents_features_are_kept_with_its_audit_entry(
    resources: Resources, served: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    decision = Decision("finance.document", "doc-1", "0" * 64, {"kind": "passport"}, "reader")
    store = SourceStore(resources.sessions, resources.registry, None, None)  # type: ignore[arg-type]
    evidence = store.file_document(context, SIM, {"expired": 1.0, "name_agreement": 1.0}, decision)
    told = parts(served, context)["document"]

    assert recorder.decisions[-1].outcome == {"kind": "passport", "evidence": evidence}
    assert (told.state, [a.text for a in told.aspects]) == ("used", ["the document has expired"])


def test_terms_are_of_one_tenant(served: Mapping[str, Handler], context: Context) -> None:
    file_text(served, context)

    assert parts(served, replace(context, tenant="other"))["text"].state == "missing"


def test_for_a_real_customer_a_simulated_term_stays_in_the_shadow(
    served: Mapping[str, Handler], context: Context
) -> None:
    file_text(served, context, customer="c-1")
    bare, found = score(served, context), score(served, context, customer="c-1")
    told = found.sources[1]

    assert (found.points_exact, found.synthetic) == (bare.points_exact, False)
    assert (told.state, told.logit) == ("shadow", 0)
    assert told.shadow_logit > 0
    assert "simulated outcomes" in told.because


def test_a_validator_turns_a_source_off(served: Mapping[str, Handler], context: Context) -> None:
    file_text(served, context)
    activate(served, context, history="use", document="shadow")
    bare, found = score(served, context), score(served, context, customer=SIM)

    assert found.points_exact == bare.points_exact
    assert found.policy.sources == {"history": "use", "document": "shadow"}
    assert (found.sources[1].state, found.sources[1].because) == ("off", "the policy in force says so")


def test_every_way_gives_the_same_points(served: Mapping[str, Handler], context: Context) -> None:
    file_text(served, context)
    file_events(served, context)
    rows = [body(application_id=f"a-{i}", customer=c, duration_months=12 + i) for i, c in enumerate([SIM, None, "c-1"])]
    ones = [score(served, context, **row) for row in rows]
    content = csv_of(*rows)
    file = UploadedFile(filename="a.csv", content=content)
    answer = b"".join(served["score_batch"](schemas.BatchRequest(file=file), context).chunks)  # type: ignore[union-attr]
    lines = list(csv.DictReader(io.StringIO(answer.decode())))
    fields = [{k: v for k, v in row.items() if k != "application_id"} for row in rows]
    explained = [served["explain"](serving_schemas.ExplainRequest.model_validate(row), context) for row in fields]

    assert [float(line["points_exact"]) for line in lines] == [one.points_exact for one in ones]
    assert [float(line["text_logit"]) for line in lines] == [one.sources[1].logit if one.sources else 0 for one in ones]
    assert [line["reason_1"] for line in lines] == [f"{one.reasons[0].code} {one.reasons[0].text}" for one in ones]
    assert [one.points_exact for one in explained] == [one.points_exact for one in ones]
    assert [one.sources for one in explained] == [one.sources for one in ones]


def test_a_counterfactual_leaves_sources_as_they_are(served: Mapping[str, Handler], context: Context) -> None:
    file_text(served, context)
    asked = {k: v for k, v in body(checking_status="under_200_dm", duration_months=24).items() if k != "application_id"}
    found: Any = served["counterfactual"](
        serving_schemas.CounterfactualRequest.model_validate(
            asked | {"customer": SIM, "credit_history": "existing_paid_so_far"}
        ),
        context,
    )

    assert found.ways
    assert "Text of the application" in found.fixed
    for way in found.ways:
        changed = asked | {"credit_history": "existing_paid_so_far"} | {c.feature: c.to for c in way.changes}
        assert score(served, context, **changed, customer=SIM).points == way.points >= found.approve_at


@pytest.mark.parametrize("erased", [False, True])
def test_a_decision_is_made_again_to_the_bit_whatever_is_kept_now(
    resources: Resources,
    full_registry: FolderRegistry,
    served: Mapping[str, Handler],
    context: Context,
    recorder: Recorder,
    erased: bool,
) -> None:
    file_text(served, context)
    asked = schemas.ScoreRequest.model_validate(body(customer=SIM))
    served["score"](asked, context)
    entry = json.loads(json.dumps(recorder.decisions[-1].__dict__))
    if erased:
        served["erase_events"](EraseRequest(customer=SIM), context)
    else:
        file_text(served, context, text="Nothing of what was said before is true now.")
    book: PolicyBook = served["score"].answer_all.__self__.policies  # type: ignore[attr-defined]
    found = replay(full_registry, entry, asked, policy_of=lambda version: book.get("bank", version))

    assert entry["outcome"]["sources"]["read"]["text"]["evidence"]
    assert found.is_exact, found.differences


def test_an_old_decision_is_made_again_under_its_own_policy_and_reasons(
    full_registry: FolderRegistry, served: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    asked = schemas.ScoreRequest.model_validate(body())
    served["score"](asked, context)
    entry = json.loads(json.dumps(recorder.decisions[-1].__dict__))
    del entry["outcome"]["reason_profile"]  # as before there were two
    book: PolicyBook = served["score"].answer_all.__self__.policies  # type: ignore[attr-defined]
    old = entry | {"policy_version": "2026-11-01"}
    found = replay(full_registry, old, asked, policy_of=lambda version: book.get("bank", version))

    assert found.is_exact, found.differences


def test_erasing_a_customer_takes_evidence_and_terms_and_nobody_elses(
    resources: Resources, served: Mapping[str, Any], context: Context, recorder: Recorder
) -> None:
    for customer in (SIM, "sim-9-000002"):
        file_text(served, context, customer=customer)
        file_events(served, context, customer)
    found = served["erase_events"](EraseRequest(customer=SIM), context)

    assert (found.erased, found.evidence) == (5, 1)
    assert recorder.decisions[-1].outcome == {"events": 5, "evidence": 1}
    assert {p.state for p in parts(served, context).values()} == {"missing"}
    with resources.sessions() as session:
        for table in (FinanceEvidence, FinanceSourceTerm):
            assert set(session.scalars(select(table.customer))) == {"sim-9-000002"}


def test_a_text_is_forgotten_but_for_its_numbers(
    resources: Resources, served: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    file_text(served, context)
    with resources.sessions() as session:
        [row] = session.scalars(select(FinanceEvidence))
    kept = repr({c.name: getattr(row, c.name) for c in FinanceEvidence.__table__.columns})

    assert "contract" not in kept
    assert "contract" not in repr(recorder.decisions[-1])
    assert row.aspects == ["sentence_2_of_2"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "我想买一辆二手车，合同三月到期，还不知道能不能续签，请您考虑一下。"),
        ("de", "Ich möchte einen Gebrauchtwagen kaufen. Mein Vertrag läuft im März aus."),
    ],
)
def test_a_text_that_the_embedder_does_not_read_is_refused_by_its_language(
    resources: Resources, served: Mapping[str, Handler], context: Context, language: str, text: str
) -> None:
    resources.retriever.embedder = english_embedder()  # type: ignore[misc]

    with pytest.raises(
        InvalidInput, match=rf"text: must be in English, all that all-MiniLM-L6-v2 reads \(got {language!r}\)"
    ):
        file_text(served, context, text=text)
    assert parts(served, context)["text"].state == "missing"


def english_embedder() -> MiniLMEmbedder:
    """The kind that reads English alone, without its weights: who asks it for a vector fails."""
    embedder = MiniLMEmbedder.__new__(MiniLMEmbedder)
    embedder._name = "all-MiniLM-L6-v2@1"
    return embedder


def test_a_new_version_makes_every_term_again_at_the_next_start(
    resources: Resources, full_registry: FolderRegistry, served: Mapping[str, Handler], context: Context
) -> None:
    file_text(served, context)
    file_events(served, context)
    own = replace(small_model(synthetic=False), heads=full_heads(served, resources))
    del full_registry.cards["finance.sources"]
    (full_registry.root / "finance.sources").rename(full_registry.root / "before")
    register(full_registry, own)
    made = recover(resources)

    assert made == 2
    with resources.sessions() as session:
        versions = set(session.execute(select(FinanceSourceTerm.model_version, FinanceSourceTerm.source)).all())
    assert len(versions) == 4
    assert recover(resources) == 0


def full_heads(served: Mapping[str, Any], resources: Resources) -> Any:
    from verticals.finance.sources.model import load_sources

    model = load_sources(resources.registry)
    assert model is not None
    return model.heads


def test_terms_that_are_made_again_a_page_at_a_time_are_all_made(
    resources: Resources, served: Mapping[str, Handler], context: Context
) -> None:
    customers = [f"sim-9-00000{i}" for i in range(5)]
    for customer in customers:
        file_text(served, context, customer=customer)
    with resources.sessions.begin() as session:
        session.execute(delete(FinanceSourceTerm))
    store = SourceStore(resources.sessions, resources.registry, None, NoEmbeddings())  # type: ignore[arg-type]

    assert store.make_missing(page=2) == 5
    assert {parts(served, context, customer)["text"].state for customer in customers} == {"used"}


class NoEmbeddings:
    """Nobody has a history."""

    def model(self) -> None:
        return None


def test_a_text_of_another_embedder_has_no_term(
    resources: Resources, served: Mapping[str, Handler], context: Context
) -> None:
    class Other(FakeEmbedder):
        name = "other@1"

    before = file_text(served, context)
    resources.retriever.embedder = Other()  # type: ignore[misc]
    found = file_text(served, context)

    assert before.part.state == "used"
    assert (found.part.state, found.part.logit) == ("missing", 0)
    assert "no term for texts that other@1 read" in found.part.because
