"""What the customer wants, read from the last five turns by rules. Ignores what the shop knows.

Rules, not the language model: a 135M model is no judge of intent, and missing the wish for a person is the worst error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from retrieval.chinese import content_words, has_chinese
from retrieval.grounding import content_stems
from retrieval.sentences import split_sentences
from verticals.contract import InvalidInput
from verticals.support.matter import without_preface
from verticals.support.memory.facts import read_facts
from verticals.support.phrases import both
from verticals.support.rule_planner import ORDER_ID, asks_for_state
from verticals.support.schemas import Message

WINDOW_TURNS = 5
WHERE = "When will my parcel arrive?"  # what a follow-up of an order's state is searched with, whatever the goods
OFFER = "Shall I open a ticket, so that a colleague can help you?"


class Intent(StrEnum):
    """What the last message asks for."""

    GREETING = "greeting"
    THANKS = "thanks"
    IDENTITY = "identity"  # "are you a robot?"
    TELLING = "telling"  # says something of themselves, and asks nothing
    HAND_OVER = "hand_over"  # wants a person, complains, or accepts the offer of a ticket
    QUESTION = "question"


_GREETING = re.compile(r"(?:hi|hiya|hello|hey|greetings|good (?:morning|afternoon|evening|day))(?: \w+){0,2}")
_THANKS = re.compile(
    r"(?:ok(?:ay)?|great|perfect|thanks?|thank you|cheers|brilliant|lovely|bye|goodbye|that(?:'s| is) (?:all|great))"
    r"(?: (?:ok(?:ay)?|great|perfect|thanks?|you|so|very|much|a|lot|for|your|the|that|is|that's|help|all|"
    r"bye|goodbye|helpful))*"
)
_IDENTITY = re.compile(
    r"\b(?:who|what) are you\b|\bare you (?:an? )?(?:\w+ )?(?:robot|bot|chatbot|human|person|ai|machine|real)\b|"
    r"\bwhat can you (?:do|help)\b|^how are you\b"
)
_SOMEBODY = "human|person|someone|somebody|agent|advis[oe]r|representative|manager|supervisor|colleague|operator"
_PERSON = re.compile(
    rf"\b(?:speak|talk|chat|connect|transfer|put me through)\b.{{0,25}}\b(?:{_SOMEBODY}|staff)\b|"
    rf"\b(?:get|give|hand|pass) (?:me|us)\b.{{0,25}}\b(?:{_SOMEBODY})\b|"
    r"\b(?:real|actual|live) (?:human|person|agent)\b|\b(?:someone|somebody) real\b|"
    r"(?<!are you )(?<!is this )\ba human\b(?!-)|"
    r"^(?:a )?(?:human|person|agent|operator)(?: please)?$|"
    r"\b(?:person|someone|somebody|anyone|anybody)\b.{0,20}\b(?:speak|talk) (?:to|with)\b|"
    r"\b(?:want|need|like|get) (?:a |to see a )?(?:human|person|manager|supervisor)\b|"
    r"\bcall me(?: back\b| (?:please|now|today|tomorrow|later|on|at|asap)\b|\W*$)|"
    r"\b(?:open|raise|create|file|log|make) (?:me )?(?:a |an )?(?:support )?(?:ticket|complaint)\b|"
    r"\bi(?: want| wish| need| would like|'d like| am going| have) (?:to complain|a complaint)\b|"
    r"\bthis is a complaint\b"
)
_REFUSES = re.compile(r"\b(?:don't|do not|no need|not|without|rather than)\b[^.?!]{0,25}$")
_HOW = re.compile(r"^(?:how|where|what|when|which|who)\b")
_YES = re.compile(
    r"(?:yes|yeah|yep|sure|ok(?:ay)?|please|please do|go ahead|do it|that would be great)(?: please)?(?: do)?"
)
_FOLLOWS_ON = re.compile(
    r"^(?:and|but|so|also|or|then|what about|how about|what if)\b|"
    r"\b(?:it|its|that|this|they|them|those|these|one|ones|there|then|instead|same)\b"
)
_OWN_SUBJECT = 4  # content words from which a question without pronouns stands alone
_OWN_SUBJECT_SIGNS = 6  # the same in Chinese signs
_GREETING_ZH = re.compile(
    r"(?:您好|你好|嗨|哈喽|大家好|早上好|上午好|中午好|下午好|晚上好|在吗|有人吗)[啊呀吗]?(?:在吗)?"
)
_THANKS_ZH = re.compile(
    r"(?:好的?|行|明白了?|知道了|太好了|非常|十分)*(?:谢谢|多谢|感谢|谢了|再见|拜拜)(?:您|你)?(?:了|啦|的帮助|的帮忙)?"
    r"(?:再见|拜拜)?"
)
_IDENTITY_ZH = re.compile(
    r"[你您]是谁|[你您]叫什么|[你您]是(?:不是)?(?:一?个)?(?:机器人|机器|真人|人工|人|AI|ai)|"
    r"[你您](?:能|会|可以)(?:帮我)?(?:做|干)(?:些|点)?什么|[你您]能帮我什么"
)
_PERSON_ZH = re.compile(
    r"人工(?!智能|费|成本|草)|真人|(?:找|转|接|换|叫|联系)(?:一下|一个|个|你们的?)?(?:客服|人来|同事|经理|主管)|"
    r"(?:和|跟|与)(?:真?人|客服|经理|主管)[说谈聊讲沟]|投诉|(?:开|提交|建)(?:一?[个张])?工单|给我(?:回个?|打个?)电话"
)
_REFUSES_ZH = re.compile(r"(?:不用|不要|不需要|不必|无需|不想|别|不是要)[^，。！？,.!?]{0,4}$")
_HOW_ZH = re.compile(r"怎么|怎样|如何|哪里|哪儿|什么时候|几点")
_YES_ZH = re.compile(
    r"(?:是|好|要|行|对|可以|需要|当然|请)(?:的|啊|呀)?(?:麻烦[您你]?了?|请开|开吧|帮我开|谢谢)?|麻烦[您你]?了?|开吧"
)
_FOLLOWS_ON_ZH = re.compile(r"^(?:那|还有|另外|如果是|要是|换成)|呢[？?]?$|它|这个|那个|这些|那些|这种|那种|同样")


def read_window(messages: Sequence[Message]) -> list[Message]:
    """The last five turns: five messages of the customer with the answers between them; system messages are left out.

    Raises:
        InvalidInput: no messages, the last one is not the customer's, or it is blank.
    """
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "user":
        last = spoken[-1].role if spoken else None
        raise InvalidInput(
            "the last message must be the customer's", field="messages", value=last, remedy="End with a `user` message."
        )
    if not re.search(r"\w", spoken[-1].content):
        raise InvalidInput("the last message has no words", field="messages", remedy="Send the customer's question.")
    asked = [i for i, message in enumerate(spoken) if message.role == "user"]
    return spoken[asked[-WINDOW_TURNS:][0] :]


def read_intent(window: Sequence[Message]) -> Intent:
    """Intent of the window's last message."""
    said = window[-1].content.lower().replace("’", "'")
    words = " ".join(re.findall(r"[\w']+", said))
    if _takes_offer(window):
        return Intent.HAND_OVER
    if has_chinese(said) and (intent := _read_chinese(said)):
        return intent
    asks = _PERSON.search(said)
    if asks and not _REFUSES.search(said[: asks.start()]) and not (_HOW.match(words) and "complain" in asks[0]):
        return Intent.HAND_OVER
    if _GREETING.fullmatch(words):
        return Intent.GREETING
    if _THANKS.fullmatch(words):
        return Intent.THANKS
    if _IDENTITY.search(words):
        return Intent.IDENTITY
    facts = {fact.text for fact in read_facts(window[-1].content)}
    if facts and len(facts) == len(split_sentences(window[-1].content)):
        return Intent.TELLING
    return Intent.QUESTION


def asks_for_ticket(window: Sequence[Message]) -> bool:
    """Whether a wish for a person means a ticket: it says so, or takes the offer of one."""
    said = window[-1].content.lower()
    return "ticket" in said or "工单" in said or _takes_offer(window)


def _takes_offer(window: Sequence[Message]) -> bool:
    """Whether the last message is a yes to a ticket; a wish for a person instead is none."""
    words = " ".join(re.findall(r"[\w']+", window[-1].content.lower().replace("’", "'")))
    was_offered = len(window) > 1 and any(offer in window[-2].content for offer in both(OFFER))
    return was_offered and bool(_YES.fullmatch(words) or _YES_ZH.fullmatch(words.replace(" ", "")))


def _read_chinese(said: str) -> Intent | None:
    """Intent of a message with Chinese signs; None if it is a question."""
    words = "".join(re.findall(r"\w+", said))
    asks = _PERSON_ZH.search(said)
    if asks and not _REFUSES_ZH.search(said[: asks.start()]) and not _HOW_ZH.search(said):
        return Intent.HAND_OVER
    if _GREETING_ZH.fullmatch(words):
        return Intent.GREETING
    if _THANKS_ZH.fullmatch(words):
        return Intent.THANKS
    return Intent.IDENTITY if _IDENTITY_ZH.search(words) else None


def standalone_query(window: Sequence[Message]) -> str:
    """The last question in words that need no context: a follow-up is preceded by the question that it follows.

    "How long is the warranty?" / "And for lamps?" becomes "How long is the warranty? And for lamps?". Feelings and
    courtesies are left out; see `matter.py`. What followed "Where is my coffee machine?" is about its delivery: with
    the goods' name the search would go to their care.
    """
    *earlier, last = [message for message in window if message.role == "user"]
    parts = [without_preface(last.content.strip())]
    for message in reversed(earlier):
        if not _follows_on(parts[0]):
            break
        if read_intent([message]) == Intent.QUESTION and not ORDER_ID.fullmatch(message.content.strip()):
            parts.insert(0, WHERE if asks_for_state(message) else without_preface(message.content.strip()))
    return " ".join(parts)


def own_question(window: Sequence[Message]) -> str | None:
    """What a follow-up asks if it changes the topic: its own words. None where the message stands alone anyway.

    None in Chinese too: there the two were not compared (`benchmarks.follow_ups`).
    """
    own = without_preface(window[-1].content.strip())
    return None if has_chinese(own) or own == standalone_query(window) else own


def _follows_on(question: str) -> bool:
    words = " ".join(re.findall(r"[\w']+", question.lower()))
    if _YES.fullmatch(words):
        return True
    if has_chinese(words):
        num_signs = len({sign for word in content_words(words) for sign in word})
        return num_signs < _OWN_SUBJECT_SIGNS and bool(_FOLLOWS_ON_ZH.search(question))
    return len(content_stems(words)) < _OWN_SUBJECT and bool(_FOLLOWS_ON.search(words))
