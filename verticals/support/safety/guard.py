"""The door to safety: judge a request, clean what was retrieved, filter what is said. Ignores who calls it and when.

At the border: `judge_passages` when documents come in. In an agent: `check_request` before anything else, with the
vector of the query if there is one; `clean_passages` and `clean_text` on whatever is read; `unfounded_arguments` before
a tool changes something; `output_filter` on whatever is said, at the last place before it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Hit, Passage
from retrieval.embed import Embedder
from verticals.support.safety.classifier import RequestClassifier
from verticals.support.safety.harm_rules import Category
from verticals.support.safety.injection import InjectionFilter, Progress
from verticals.support.safety.personal_data import contacts_in, values_in
from verticals.support.safety.stream_filter import StreamFilter

REFUSAL = "I'm sorry, I can't help with that. If you have a question about an order or a product, I'm glad to help."
REFUSAL_ZH = "很抱歉，这个请求我无法协助。如果您有订单或商品方面的问题，我很乐意帮忙。"
# Help lines, checked in November 2026. 988, call or text at any hour: 988lifeline.org (US), 988.ca (Canada, since 30
# November 2023). 12356: notice of China's National Health Commission of 25 December 2024, at least 18 hours a day, so
# no promise of any hour. findahelpline.com: free help lines by country.
CARE = (
    "I'm really sorry that you are going through this. I'm an automated assistant, so I'm asking a colleague to join "
    "us. You don't have to wait for us: in the US and Canada you can call or text 988 at any hour, elsewhere "
    "findahelpline.com lists free help. If you are in danger now, please call your emergency number."
)
CARE_ZH = (
    "听到您这样说，我很难过。我是自动助手，正在请同事加入对话。您不必等我们：在中国大陆可拨打 12356 心理援助热线，"
    "其他地区可在 findahelpline.com 找到免费帮助。如果您现在有危险，请拨打 120 或 110。"
)


@dataclass(frozen=True)
class Verdict:
    """What to do with a request; `reply` is what the customer reads unless it is allowed.

    `hand_over` is for someone who may hurt themselves: a person takes over, and the reply says where help is now.
    """

    action: Literal["allow", "refuse", "hand_over"]
    category: Category | None = None
    reply: str = ""
    probability: float = 0.0


ALLOWED = Verdict("allow")


class Guard:
    """Safety over one embedder.

    Args:
        embedder: Of the vectors that the shipped heads were fitted to; the rules decide alone if None.
        sessions: Of a database that remembers what was judged; each guard begins anew if None.
    Raises:
        ValueError: it is another embedder.
    """

    def __init__(self, embedder: Embedder | None, sessions: sessionmaker[Session] | None = None) -> None:
        self._requests, self._injections = RequestClassifier(embedder), InjectionFilter(embedder, sessions)

    def check_request(self, text: str, *, vector_D: NDArray[np.float32] | None = None) -> Verdict:
        """Judge a customer's message; `vector_D`, its embedding, spares the model if retrieval has computed it."""
        judgement = self._requests.judge(text, vector_D=vector_D)
        if judgement.category is None:
            return Verdict("allow", probability=judgement.probability)
        chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
        if judgement.category is Category.SELF_HARM:
            return Verdict("hand_over", judgement.category, CARE_ZH if chinese else CARE, judgement.probability)
        return Verdict("refuse", judgement.category, REFUSAL_ZH if chinese else REFUSAL, judgement.probability)

    def judge_passages(self, passages: Sequence[Passage], *, tenant: str, on_progress: Progress) -> None:
        """Judge what a knowledge base takes in, so that no question waits for it; see `InjectionFilter.judge`."""
        self._injections.judge(passages, tenant=tenant, on_progress=on_progress)

    def clean_passages(self, hits: Sequence[Hit], *, tenant: str) -> list[Hit]:
        """Hits without what speaks to the assistant; see `InjectionFilter.clean_passages`."""
        return self._injections.clean_passages(hits, tenant=tenant)

    def clean_text(self, text: str) -> str:
        """A tool's result, or any other text from outside, without what speaks to the assistant."""
        return self._injections.clean(text).text

    def output_filter(
        self, *, own: Iterable[str] = (), published: Iterable[str] = (), phrases: Sequence[str] = ()
    ) -> StreamFilter:
        """A filter for one streamed answer.

        Args:
            own: Texts whose values the customer may see: their own messages and records.
            published: Texts that the shop shows to everybody, as passages: their contacts may be said, never their
                cards, account or order numbers.
            phrases: Wordings that must never appear.
        """
        allowed = frozenset[tuple[str, str]]().union(*map(values_in, own), *map(contacts_in, published))
        return StreamFilter(allowed=allowed, phrases=phrases)
