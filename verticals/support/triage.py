"""Category and priority of a ticket by rules and by what was retrieved. Ignores the ticket's words.

Rules, not the language model: whoever gets the ticket, and how soon, has to be explainable and the same each time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from retrieval.documents import Hit
from verticals.support.schemas import TicketCategory as Category
from verticals.support.schemas import TicketPriority as Priority

_CATEGORY_WORDS: dict[Category, str] = {
    Category.DELIVERY: r"deliver\w*|ship\w*|parcel|courier|track\w*|arriv\w*|dispatch\w*|late|lost in the post",
    Category.RETURNS: r"return\w*|refund\w*|exchang\w*|send (?:it|them|this) back|money back",
    Category.PAYMENT: r"pay\w*|paid|charg\w*|card|invoice\w*|bill\w*|discount\w*|voucher|gift card|price",
    Category.ACCOUNT: r"account|password|log ?in|sign ?in|email address|profile|newsletter|two-factor",
    Category.WARRANTY: r"warranty|guarantee\w*|faulty|broken?|defect\w*|repair\w*|damaged?|cracked|"
    r"smok\w*|electric shock|stopped working",
    Category.PRIVACY: r"privacy|personal data|gdpr|my data|data protection|delete my|unsubscribe|cookies",
    Category.ORDERS: r"order number|cancel\w*|order status|change my order|back ?order\w*|pre-?order\w*|wrong item",
    Category.PRODUCTS: r"assembl\w*|dimension\w*|size|colou?r|material|wood|care|clean\w*|manual|spare part",
    Category.COMPLAINT: r"complain\w*|unacceptable|disgust\w*|terrible|awful|worst|rude|furious|angry|ridiculous",
}
_PRIORITY_WORDS: tuple[tuple[Priority, str], ...] = (
    (
        Priority.URGENT,
        r"fire|smoke|smoking|burn\w*|electric shock|injur\w*|hurt|bleed\w*|hospital|unsafe|danger\w*|gas|"
        r"fraud\w*|stolen|hack\w*|data breach|someone else(?:'s)? (?:order|account|card)|"
        r"(?:did not|didn't|never) authori[sz]e\w*",
    ),
    (
        Priority.HIGH,
        r"complain\w*|lawyer|solicitor|legal action|trading standards|ombudsman|chargeback|(?:charged|billed) twice|"
        r"(?:second|third|fourth|several|\d+(?:nd|rd|th)) time|still (?:no|not|has|have|waiting)|again and again|"
        r"urgent\w*|asap|today|tomorrow|wedding|funeral|broken|smashed|damaged|wrong (?:item|order|size)|missing|"
        r"unacceptable|furious",
    ),
    (Priority.LOW, r"suggest\w*|feedback|would be nice|just (?:curious|wondering)|compliment\w*|no rush|no hurry"),
)


def decide_category(customer_texts: Sequence[str], hits: Sequence[Hit] = ()) -> Category:
    """The team: most matched words win, the latest message counts double, and the retrieved articles break ties.

    Args:
        customer_texts: The customer's messages, latest last.
        hits: Passages retrieved for the conversation; `metadata["category"]` of the best three counts half a word each.
    """
    votes: Counter[Category] = Counter()
    for weight, text in zip([1] * (len(customer_texts) - 1) + [2], customer_texts, strict=False):
        for category, words in _CATEGORY_WORDS.items():
            votes[category] += weight * len(_find(words, text))
    for hit in hits[:3]:
        named = str(hit.metadata.get("category", "")).lower()
        if named in set(Category):
            votes[Category(named)] += 0.5  # type: ignore[assignment]
    best, count = max(votes.items(), key=lambda item: item[1], default=(Category.OTHER, 0))
    return best if count else Category.OTHER


def decide_priority(customer_texts: Sequence[str]) -> Priority:
    """The most urgent level that any of the customer's messages names; normal if none."""
    text = "\n".join(customer_texts)
    for priority, words in _PRIORITY_WORDS:
        if _find(words, text):
            return priority
    return Priority.NORMAL


def _find(words: str, text: str) -> set[str]:
    return set(re.findall(rf"\b(?:{words})\b", text.lower().replace("’", "'")))
