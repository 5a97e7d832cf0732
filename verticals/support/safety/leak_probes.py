"""Seeded probes for leaks: another tenant's documents, deleted documents, another customer's data cut into a stream.

A probe plants a token that nobody may see and looks for it in what comes out. Ignores what else is in there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from retrieval.documents import Document
from retrieval.store import KnowledgeBase
from verticals.support.safety.personal_data import values_in
from verticals.support.safety.stream_filter import StreamFilter, filter_stream

_TOPICS = (
    "returns of lamps",
    "delivery to islands",
    "warranty of sofas",
    "gift cards",
    "mattress trial",
    "spare parts",
)
_FRAMES = (
    "Her e-mail is {}, I think.",
    "{}",
    "Order 5 of 7: {}; next one follows.",
    "Say ({}) or not?",
    "客户的号码是{}，请记录。",
    "Two: {0}, {0}!",
    "It ends with {}",
)


SEARCHED = ("cross-tenant", "deleted", "deleted, as of before")


@dataclass(frozen=True)
class Streamed:
    """A text in pieces that holds `secret`, which belongs to someone else, and `own`, the listener's."""

    pieces: tuple[str, ...]
    secret: str
    own: str


@dataclass(frozen=True)
class Searched:
    """A search of one of `SEARCHED`'s kinds; `sighted` if it showed what the tenant may see, where there is any."""

    kind: str
    query: str
    leaked: bool
    sighted: bool


def secrets(rng: random.Random) -> Iterator[str]:
    """Made-up personal data without end, each valid by its own checksum."""
    while True:
        digits = "".join(str(rng.randrange(10)) for _ in range(18))
        yield rng.choice(
            (
                f"{rng.choice('abcdefgh')}{digits[:5]}.{rng.choice(('lee', 'wang', 'roe'))}@mail{digits[5:7]}.example",
                f"({rng.randrange(200, 990)}) {rng.randrange(200, 990)}-{digits[:4]}",
                f"+44 20 {digits[:4]} {digits[4:8]}",
                f"13{digits[:9]}",
                f"MP{digits[:8]}",
                f"{rng.randrange(1, 665):03}-{rng.randrange(1, 99):02}-{rng.randrange(1, 9999):04}",
                _card(rng, digits),
                _iban(digits),
                f"{rng.randrange(1, 9999)} {rng.choice(('Maple Street', 'Old Mill Lane', 'Cedar Road'))}",
            )
        )


def streams(count: int, *, seed: int = 0) -> Iterator[Streamed]:
    """Texts with a secret, cut everywhere: by character, in two at each place in turn, or at drawn places."""
    rng = random.Random(seed)  # noqa: S311  no secret in earnest
    drawn = secrets(rng)
    for i in range(count):
        secret, own = next(drawn), next(drawn)
        text = f"{rng.choice(_FRAMES).format(secret)} Yours is {own}."
        if i % 3 == 0:
            cuts = set(range(1, len(text)))
        elif i % 3 == 1:
            cuts = {1 + (i // 3) % (len(text) - 1)}
        else:
            cuts = {rng.randrange(1, len(text)) for _ in range(rng.randrange(1, 9))}
        edges = [0, *sorted(cuts), len(text)]
        yield Streamed(tuple(text[a:b] for a, b in pairwise(edges)), secret, own)


def stream_leaks(probes: Iterable[Streamed]) -> list[Streamed]:
    """The probes whose secret came out, whole or by more than half, or whose own value did not."""
    leaks = []
    for probe in probes:
        said = "".join(filter_stream(probe.pieces, StreamFilter(allowed=values_in(probe.own))))
        half = probe.secret[: len(probe.secret) // 2 + 2]
        if (half in said and half not in probe.own) or probe.own not in said:
            leaks.append(probe)
    return leaks


def search_probes(knowledge: KnowledgeBase, count: int, *, seed: int = 0) -> Iterator[Searched]:
    """Ask as one of three tenants, in turn for what others have, for what is deleted, and for it as of before.

    Every tenant keeps documents on the same topics with a token of its own; every tenth probe deletes one or puts it
    back, and the next search already obeys.
    """
    rng = random.Random(seed)  # noqa: S311
    tenants = [f"evals.probe-{name}" for name in "abc"]
    everything = [(tenant, topic) for tenant in tenants for topic in _TOPICS]
    for tenant in tenants:
        knowledge.ingest([_document(tenant, topic) for topic in _TOPICS], tenant=tenant)
    dead: dict[tuple[str, str], datetime] = {}  # with a moment at which it was still there
    for i in range(count):
        if i % 10 == 0 or not dead:
            _bury_or_revive(knowledge, rng.choice(everything), dead)
        kind = SEARCHED[i % len(SEARCHED)]
        owner, wanted = rng.choice(everything if kind == "cross-tenant" else sorted(dead))
        tenant = rng.choice([one for one in tenants if one != owner]) if kind == "cross-tenant" else owner
        as_of = dead[owner, wanted] if kind == "deleted, as of before" else None
        query = f"{wanted} {_token(owner, wanted)}"
        found = " ".join(hit.text for hit in knowledge.search(query, tenant=tenant, k=20, as_of=as_of))
        forbidden = [_token(*one) for one in everything if one[0] != tenant or one in dead]
        own = [_token(*one) for one in everything if one[0] == tenant and one not in dead]
        yield Searched(kind, query, any(t in found for t in forbidden), not own or any(t in found for t in own))


def search_leaks(knowledge: KnowledgeBase, count: int, *, seed: int = 0) -> list[Searched]:
    """The probes that leaked."""
    return [probe for probe in search_probes(knowledge, count, seed=seed) if probe.leaked]


def _bury_or_revive(knowledge: KnowledgeBase, one: tuple[str, str], dead: dict[tuple[str, str], datetime]) -> None:
    tenant, topic = one
    if dead.pop(one, None):
        knowledge.ingest([_document(tenant, topic)], tenant=tenant)
    else:
        dead[one] = datetime.now(UTC)
        knowledge.delete(_doc_id(topic), tenant)


def _document(tenant: str, topic: str) -> Document:
    return Document(_doc_id(topic), topic.title(), f"All about {topic}. The word for it is {_token(tenant, topic)}.")


def _doc_id(topic: str) -> str:
    return topic.replace(" ", "-")


def _token(tenant: str, topic: str) -> str:
    return f"zq{tenant[-1]}{_TOPICS.index(topic)}xv"


def _card(rng: random.Random, digits: str) -> str:
    body = f"4{digits[:14]}"
    total = sum(v - 9 if v > 9 else v for v in (int(d) * (1 if i % 2 else 2) for i, d in enumerate(reversed(body))))
    number = f"{body}{-total % 10}"
    gap = rng.choice(("", " ", "-"))
    return gap.join(number[i : i + 4] for i in range(0, 16, 4))


def _iban(digits: str) -> str:
    check = 98 - int(f"{digits}131400") % 97  # "DE" is 13 14
    return f"DE{check:02}{digits}"
