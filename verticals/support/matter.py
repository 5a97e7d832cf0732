"""What a message is about: its words without the feelings and courtesies around them. Ignores what is felt.

"This is a disgrace, I am furious. How long do refunds take?" is searched for as its question alone: the preface would
pull the search to the article on complaints. A clause is left out only if each of its words is a feeling, a courtesy or
filling, so that a clause with any matter stays whole. By words, not by the reader of tones: a feeling can be about
something, and the words of that are what the search needs.
"""

from __future__ import annotations

import re
from functools import cache

from retrieval.chinese import has_chinese
from retrieval.grounding import content_stems

_CLAUSE = re.compile(r".+?(?:[.!?,;:]+(?:\s+|\Z)|[。！？，；]+\s*|\Z)", re.DOTALL)
_FELT = (
    "absurd afraid alarmed alarming amazing angry annoyed annoying anxious appalled appalling ashamed awesome awful "
    "bad believe concerned confused delighted desperate disappointed disappointing disappointment disgrace disgraceful "
    "disgusted disgusting dreadful enraged excited fed frightened frustrated frustrating frustration furious fuming "
    "glad gutted happy hate heartbroken hopeless horrible horrified incompetent infuriating insane insult insulting "
    "irritated irritating joke kind livid love lovely mad miserable nervous nice nonsense outrage outraged outrageous "
    "panicking pathetic pleased ridiculous rubbish sad scandal scandalous scared shame shameful shocked shocking sick "
    "stressed terrible terrified thrilled tired unacceptable unbelievable unhappy upset useless wonderful worried "
    "worrying worst "
    "afternoon cheers dear evening good goodbye great greetings hello hey hi morning sorry thank thanks"
)
_FILLING = (
    "absolute absolutely actually always beyond complete completely company customer customers day deeply else ever "
    "everyone extremely feel feeling guys honestly hope i'd i'll i'm i've incredibly it'll life literally madam makes "
    "people quite really seriously service shop sir store team that'll there they're thing total totally treated truly "
    "utter utterly very want way we're well whole word words you're you've"
)
_FELT_ZH = re.compile(
    r"(?:我|你们|您们|这|也|真的?|太|非常|很|简直|实在|让人|令人|感到|觉得|有点)*"
    r"(?:生气|气人|气愤|愤怒|过分|离谱|失望|糟糕|差劲|着急|担心|难过|伤心|崩溃|无语|受不了|丢人|您好|你好|谢谢)"
    r"(?:了|死了|极了|透顶|啊|呀)*"
)


def without_preface(message: str) -> str:
    """The clauses of a message that say more than a feeling; all of it if none does."""
    clauses = _CLAUSE.findall(message)
    kept = [clause for clause in clauses if not _is_felt(clause)]
    return "".join(kept).strip() if kept and len(kept) < len(clauses) else message


def _is_felt(clause: str) -> bool:
    if clause.rstrip().endswith(("?", "？")):
        return False  # "Is it any good?"
    if has_chinese(clause):
        return bool(_FELT_ZH.fullmatch("".join(re.findall(r"\w", clause))))
    felt, filling = _stems()
    said = set(content_stems(clause))
    return bool(said & felt) and said <= felt | filling


@cache
def _stems() -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(content_stems(_FELT)), frozenset(content_stems(_FILLING))
