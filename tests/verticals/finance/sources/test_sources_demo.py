"""The demo's customers have texts and documents, some of them none, once however often it runs."""

from __future__ import annotations

from sqlalchemy import select

from verticals.contract import Resources
from verticals.finance.histories.demo import NUM_CUSTOMERS, TENANT
from verticals.finance.sources.demo import demo_sources
from verticals.finance.sources.tables import FinanceEvidence, FinanceSourceTerm


def test_simulated_customers_have_texts_and_documents_once(resources: Resources) -> None:
    for _ in range(2):
        demo_sources(resources, lambda what, share: None)
    with resources.sessions() as session:
        evidence = session.execute(select(FinanceEvidence.customer, FinanceEvidence.source)).all()
        terms = session.execute(select(FinanceSourceTerm.tenant, FinanceSourceTerm.source)).all()

    assert len(evidence) == len(set(evidence)) == len(terms)
    assert {source: sum(one.source == source for one in evidence) for source in ("text", "document")} == {
        "text": NUM_CUSTOMERS * 3 // 4,
        "document": NUM_CUSTOMERS - NUM_CUSTOMERS // 5,
    }
    assert {one.tenant for one in terms} == {TENANT}
    assert all(one.customer.startswith("sim-") for one in evidence)
