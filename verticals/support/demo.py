"""Fill the demo shop's knowledge base and database, and learn its intents. Ignores all but the tenant "demo"."""

from __future__ import annotations

from pathlib import Path

from retrieval.ingest import read_folder
from verticals.contract import Progress, Resources, Unavailable
from verticals.support.ingesting import ingest, open_guard
from verticals.support.shop.demo_data import add_demo_shop
from verticals.support.understanding.messages import prepare_intents

DEMO_TENANT = "demo"
KNOWLEDGE_DIR = Path(__file__).parent / "knowledge"


def demo(resources: Resources, progress: Progress) -> None:
    """Ingest the articles of Maple & Pine, an invented shop, add its invented customers, learn its intents.

    What is there and unchanged costs nothing.

    Raises:
        Unavailable: an article of the installation is damaged.
    """
    documents, problems = read_folder(KNOWLEDGE_DIR)
    if problems:
        first = problems[0]
        raise Unavailable(
            f"{len(problems)} articles are damaged, first {first.source}: {first.reason}",
            field="knowledge",
            remedy="Install the package again.",
        )
    guard = open_guard(resources.retriever.embedder, resources.sessions)
    ingest(resources.retriever, guard, documents, tenant=DEMO_TENANT, on_progress=progress)
    add_demo_shop(resources.sessions, DEMO_TENANT)
    prepare_intents(resources.registry, progress, resources.encoder_dir)
