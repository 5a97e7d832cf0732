"""Files the texts and document checks of the demo's simulated customers. SYNTHETIC; ignores their histories."""

from __future__ import annotations

import numpy as np
from sqlalchemy import select

from verticals.contract import Progress, Resources
from verticals.finance.documents.mismatch import RULES
from verticals.finance.histories.demo import NUM_CUSTOMERS, SEED, TENANT
from verticals.finance.simulator.bank import simulate
from verticals.finance.sources.handlers import strongest_sentence
from verticals.finance.sources.inputs import DOCUMENT
from verticals.finance.sources.store import open_stores
from verticals.finance.sources.tables import FinanceEvidence

WITHOUT_TEXT, WITHOUT_DOCUMENT = 4, 5  # every so many customers lack one, so that a missing source can be seen


def demo_sources(resources: Resources, progress: Progress) -> None:
    """Safe to run again and to interrupt: all are filed in one transaction."""
    with resources.sessions() as session:
        if session.scalar(select(FinanceEvidence.evidence).where(FinanceEvidence.tenant == TENANT).limit(1)):
            return
    progress("finance: texts and documents of simulated customers", 0.95)
    bank, embedder = simulate(NUM_CUSTOMERS, seed=SEED), resources.retriever.embedder
    store = open_stores(resources.sessions, resources.registry).sources
    vector_ND = embedder.embed(bank.texts).astype(np.float64)
    with resources.sessions.begin() as session:
        for i, customer in enumerate(bank.customers.index):
            if i % WITHOUT_TEXT != WITHOUT_TEXT - 1:
                aspects = strongest_sentence(bank.texts[i], embedder, store.model())
                store.file(session, TENANT, customer, "text", vector_ND[i], reads=embedder.name, aspects=aspects)
            if i % WITHOUT_DOCUMENT != WITHOUT_DOCUMENT - 1:
                x_D = bank.documents[list(DOCUMENT)].iloc[i].to_numpy(float)
                store.file(session, TENANT, customer, "document", x_D, reads=RULES)
