"""Records and replay: every edit of a record is found and named, and a decision can be made again to the bit."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import time
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.finance_setting import random_applications
from service.audit import AuditLog
from service.audit_tables import AuditEntry, AuditHead
from service.storage import make_sessions, open_database
from tests import databases
from tests.verticals.finance.applications import body
from tests.verticals.finance.conftest import FolderRegistry
from tests.verticals.finance.sources.small_models import reading, small_model
from tests.verticals.finance.test_batch import csv_of, nobody
from verticals.contract import Context, InvalidInput, Unavailable, UploadedFile
from verticals.finance import schemas
from verticals.finance.batch import score_file
from verticals.finance.compiled import CompiledModels
from verticals.finance.fraud.schemas import FraudSignal
from verticals.finance.handlers import Finance
from verticals.finance.overrides import Override
from verticals.finance.records import CHUNK, ONE, find_edited, outcome_of, records_of_files
from verticals.finance.replay import Replay, replay, replay_entry
from verticals.finance.scoring import Models, assess, input_sha256, new_id, respond
from verticals.finance.sources.reading import Reading
from verticals.finance.tables import FinanceBatchChunk, FinanceDecision
from verticals.replaying import Kept

TENANT = "bank"
WHO = {"tenant": TENANT, "actor": "key-1", "request_id": "r-1"}


class Bank:
    """Finance over a migrated database with a real audit trail."""

    def __init__(self, url: str, registry: FolderRegistry) -> None:
        self.engine = open_database(url)
        self.sessions: sessionmaker[Session] = make_sessions(self.engine)
        self.audit = AuditLog(self.sessions)
        self.finance = Finance(registry, self.sessions)
        self.context = Context(**WHO, record=partial(self.audit.record, who=WHO))

    def score_all(self, rows: list[schemas.ScoreRequest]) -> None:
        self.finance.score([(row, self.context) for row in rows], self.audit.record_all)

    def score_file(self, count: int) -> None:
        rows = [r.model_dump(mode="json", exclude={"application_id"}) for r in random_applications(count, seed=5)]
        file = UploadedFile(
            filename="a.csv", content=csv_of(*({"application_id": f"a-{i}"} | r for i, r in enumerate(rows)))
        )
        list(self.finance.score_batch(schemas.BatchRequest(file=file), self.context).chunks)

    def edited(self) -> list[str]:
        with self.sessions() as session:
            return list(find_edited(session, TENANT, list(self.audit.of_kind(TENANT, CHUNK))))


@pytest.fixture
def bank(migrated_url: str, registry: FolderRegistry) -> Any:
    found = Bank(migrated_url, registry)
    yield found
    found.engine.dispose()


@pytest.fixture
def small_bank(tmp_path: Path, registry: FolderRegistry) -> Any:
    found = Bank(databases.migrated_url(tmp_path), registry)
    yield found
    found.engine.dispose()


def test_a_group_of_callers_shares_one_chain_a_tenant(bank: Bank) -> None:
    rows = random_applications(40, seed=1)
    others = {**WHO, "tenant": "other", "actor": "key-2"}
    other = Context(**others, record=partial(bank.audit.record, who=others))
    bank.finance.score([(r, bank.context if i % 2 else other) for i, r in enumerate(rows)], bank.audit.record_all)

    assert [(c.entries, c.broken_at) for c in map(bank.audit.verify, (TENANT, "other"))] == [(20, None)] * 2
    assert {e["actor"] for e in bank.audit.entries("other")} == {"key-2"}


@pytest.mark.parametrize(
    "change",
    [
        {"points": 1},
        {"prob_default": 0.5},
        {"decision": "approve!"},
        {"application_id": "z"},
        {"model_version": "m"},
        {"policy_version": "p"},
    ],
)
def test_an_edited_record_of_a_file_is_named(bank: Bank, change: dict[str, Any]) -> None:
    bank.score_file(50)
    assert bank.edited() == []
    with bank.sessions.begin() as session:
        session.execute(update(FinanceDecision).where(FinanceDecision.application_id == "a-7").values(change))

    told = bank.edited()
    assert f": {change.get('application_id', 'a-7')}: the record was changed" in told[0]


def test_a_deleted_record_and_deleted_or_edited_digests_are_found(small_bank: Bank) -> None:
    small_bank.score_file(50)
    with small_bank.sessions.begin() as session:
        session.execute(delete(FinanceDecision).where(FinanceDecision.application_id == "a-3"))
    assert "50 records were kept, 49 are there, 1 of the first are not" in small_bank.edited()[0]
    with small_bank.sessions.begin() as session:
        session.execute(update(FinanceBatchChunk).values(digests=b"x" * 800))
    assert small_bank.edited()[0].endswith("its digests were changed")
    with small_bank.sessions.begin() as session:
        session.execute(delete(FinanceBatchChunk))
    assert small_bank.edited()[0].endswith("its digests were deleted")


def test_a_thousand_random_edits_of_single_entries_are_all_found(small_bank: Bank) -> None:
    small_bank.score_all(random_applications(60, seed=2))
    rng, found = random.Random(3), 0
    with small_bank.sessions() as session:
        rows = {e.sequence: e for e in session.query(AuditEntry).all()}
    for _ in range(1000):
        row = rows[rng.randint(1, 60)]
        column = rng.choice(["content", "kind", "subject", "sha256"])
        text = getattr(row, column)
        at = rng.randrange(len(text))
        other = rng.choice([c for c in '0123456789abcdefxyz{}:,"' if c != text[at]])
        mine = update(AuditEntry).where(AuditEntry.sequence == row.sequence)
        with small_bank.sessions.begin() as session:
            session.execute(mine.values({column: text[:at] + other + text[at + 1 :]}))
        found += small_bank.audit.verify(TENANT).broken_at is not None
        with small_bank.sessions.begin() as session:
            session.execute(mine.values({column: text}))

    assert found == 1000
    assert small_bank.audit.verify(TENANT).broken_at is None
    with small_bank.sessions.begin() as session:
        session.execute(update(AuditHead).values(sequence=59))
    assert small_bank.audit.verify(TENANT).broken_at is not None


def again(bank: Bank, registry: FolderRegistry, entry: Any, application: schemas.Application) -> Replay:
    return replay(registry, entry, application, policy_of=partial(bank.finance.policies.get, TENANT))


# --- replay -----------------------------------------------------------------------------------------------------------


def test_every_decision_is_made_again_to_the_bit(small_bank: Bank, registry: FolderRegistry) -> None:
    rows = [r.model_copy(update={"application_id": f"r-{i}"}) for i, r in enumerate(random_applications(100, seed=4))]
    small_bank.score_all(rows)
    entries = {e["subject"]: e for e in small_bank.audit.of_kind(TENANT, ONE)}

    assert all(again(small_bank, registry, entries[str(r.application_id)], r).is_exact for r in rows)


def test_an_entry_is_made_again_with_the_application_that_is_given(small_bank: Bank, registry: FolderRegistry) -> None:
    one, other = (r.model_copy(update={"application_id": "r-1"}) for r in random_applications(2, seed=4))
    bank = small_bank
    bank.score_all([one])
    bank.score_file(10)
    [entry], [file] = bank.audit.of_kind(TENANT, ONE), bank.audit.of_kind(TENANT, CHUNK)
    kept: Any = Kept(TENANT, registry, bank.sessions)
    given, another = one.model_dump(mode="json"), other.model_dump(mode="json")

    assert replay_entry(kept, entry, given).verdict == "exact"
    assert replay_entry(kept, entry, None).verdict == "input needed"
    assert replay_entry(kept, entry, another).verdict == "other input"
    edited = entry | {"outcome": entry["outcome"] | {"points": 1}}
    assert replay_entry(kept, edited, given).differences == (("points", 1, entry["outcome"]["points"]),)
    assert replay_entry(kept, file, None).verdict == "unchanged"
    with pytest.raises(InvalidInput, match=r"input\.purpose: "):
        replay_entry(kept, entry, given | {"purpose": "a yacht"})
    with bank.sessions.begin() as session:
        session.execute(update(FinanceDecision).where(FinanceDecision.application_id == "a-3").values(points=1))
    assert "a-3: the record was changed" in replay_entry(kept, file, None).differences[0][1]


def test_a_decision_of_a_file_is_made_again_to_the_bit(small_bank: Bank, registry: FolderRegistry) -> None:
    small_bank.score_file(20)
    application = random_applications(20, seed=5)[7]
    with small_bank.sessions() as session:
        [entry] = records_of_files(session, TENANT, "a-7")

    assert again(small_bank, registry, entry, application).is_exact
    assert not again(small_bank, registry, entry, random_applications(20, seed=5)[8]).is_same_application


def test_another_application_is_not_replayed(small_bank: Bank, registry: FolderRegistry) -> None:
    small_bank.score_all([schemas.ScoreRequest.model_validate(body())])
    [entry] = small_bank.audit.of_kind(TENANT, ONE)
    found = again(small_bank, registry, entry, schemas.ScoreRequest.model_validate(body(duration_months=47)))

    assert (found.is_same_application, found.is_exact) == (False, False)


def test_a_difference_in_the_last_bit_is_told(small_bank: Bank, registry: FolderRegistry) -> None:
    application = schemas.ScoreRequest.model_validate(body())
    small_bank.score_all([application])
    [entry] = small_bank.audit.of_kind(TENANT, ONE)
    then = entry["outcome"]["prob_default"]
    nudged = entry | {"outcome": entry["outcome"] | {"prob_default": then + 2**-53}}
    found = again(small_bank, registry, nudged, application)

    assert found.differences == (("prob_default", then + 2**-53, then),)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_version": "finance.scorecard@000000000000"}, "finance.scorecard: this version is not in the registry"),
    ],
)
def test_versions_that_are_gone_are_named(
    small_bank: Bank, registry: FolderRegistry, change: dict[str, str], told: str
) -> None:
    application = schemas.ScoreRequest.model_validate(body())
    small_bank.score_all([application])
    [entry] = small_bank.audit.of_kind(TENANT, ONE)

    with pytest.raises(Unavailable, match=told):
        again(small_bank, registry, entry | change, application)


# --- compiled answers -------------------------------------------------------------------------------------------------


def test_compiled_answers_are_those_of_the_readable_way(models: Models) -> None:
    rows = random_applications(3000, seed=6, models=models)
    pairs = [(f"a-{i}", row) for i, row in enumerate(rows)]
    compiled = CompiledModels(models).answer(pairs)
    found = assess(models, pairs)

    for (_, row), quick, slow in zip(pairs, compiled, found, strict=True):
        assert json.loads(quick.content) == respond(models, slow).model_dump(mode="json")
        assert quick.input_sha256 == input_sha256(row)
        assert quick.reason_codes == slow.reason_codes


def test_ids_that_are_made_are_uuids_in_the_order_of_their_time() -> None:
    first = new_id()
    time.sleep(0.002)
    second = new_id()

    assert [uuid.UUID(i.removeprefix("app-")).version for i in (first, second)] == [7, 7]
    assert uuid.UUID(first.removeprefix("app-")).variant == uuid.RFC_4122
    assert first < second


def test_compiled_answers_count_sources_as_the_readable_way_does(models: Models) -> None:
    rows = random_applications(400, seed=7, models=models)
    rng = random.Random(1)
    used = replace(models, sources=small_model())
    readings: list[Reading | None] = [
        rng.choice(
            [
                None,
                reading(),
                replace(reading(), fraud=FraudSignal(rng.randint(0, 2), 1, rng.random())),
                reading(text=rng.uniform(-1.5, 1.5), document=rng.uniform(-1.5, 1.5)),
                reading(modes={"history": "use", "text": "shadow"}, history=rng.uniform(-2, 2), text=1.0),
            ]
        )
        for _ in rows
    ]
    pairs = [(f"a-{i}", row) for i, row in enumerate(rows)]
    compiled = CompiledModels(used).answer(pairs, readings)

    for quick, slow in zip(compiled, assess(used, pairs, readings), strict=True):
        assert schemas.ScoreResponse.model_validate_json(quick.content) == respond(used, slow)
        assert quick.reason_codes == slow.reason_codes
        assert outcome_of(used, quick) == outcome_of(used, slow)


def test_the_fingerprint_is_the_hash_of_canonical_json() -> None:
    application = schemas.Application.model_validate(
        {k: v for k, v in body(savings=None).items() if k != "application_id"}
    )
    text = (
        '{"age_years":29,"checking_status":"overdrawn","credit_amount_dm":7500,"credit_history":"delay_in_the_past",'
        '"duration_months":48,"employment_since":"under_1_year","other_debtors":"none","other_installment_plans":"bank",'
        '"purpose":"car_new","savings":null}'
    )

    assert input_sha256(application) == hashlib.sha256(text.encode()).hexdigest()


def test_every_way_decides_by_the_policys_overrides(models: Models) -> None:
    overrides = [
        Override(
            code="K01", field="purpose", operator="in", values=["vacation"], decision="decline", reason="No holidays."
        ),
        Override(
            code="K02",
            field="credit_amount_dm",
            operator="at_least",
            values=[5000],
            decision="refer",
            reason="Large amount.",
        ),
    ]
    strict = replace(models, policy=models.policy.model_copy(update={"overrides": overrides}))
    rows = random_applications(1000, seed=9, models=models)
    pairs = [(f"a-{i}", row) for i, row in enumerate(rows)]
    found = assess(strict, pairs)
    compiled = CompiledModels(strict).answer(pairs)
    content = csv_of(*({"application_id": i} | r.model_dump(mode="json", exclude={"application_id"}) for i, r in pairs))
    lines = b"".join(score_file(strict, io.BytesIO(content), keep=lambda scored, chunk: None, read=nobody).chunks)

    assert {f.decision for f in found} == {"approve", "refer", "decline"}
    for quick, slow in zip(compiled, found, strict=True):
        assert schemas.ScoreResponse.model_validate_json(quick.content) == respond(strict, slow)
    batch = [row["decision"] for row in csv.DictReader(io.StringIO(lines.decode()))]
    assert batch == [f.decision for f in found]
