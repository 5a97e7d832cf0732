"""Which of several equal servers gets a prompt, so that their prefix caches pay. Ignores sockets and health.

Rendezvous hashing (Thaler and Ravishankar 1998): every server is ranked by a hash of its name and the prompt's
beginning, so a server that comes or goes moves only its own prompts. With bounded loads (Mirrokni et al. 2016,
arXiv:1608.01350): a server that runs more than its share gives the prompt to the next, so that one popular beginning
does not drown it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

LOAD_FACTOR = 1.25  # requests that a server may run, over the mean
NUM_TOKENS = 256  # of a prompt without messages; of text, characters


def beginning(body: bytes) -> bytes:
    """What stays the same as a conversation grows: all up to its first words of the user, or a prompt's first tokens.

    Args:
        body: Of a request in OpenAI's form; of another, every body is a beginning of its own.
    """
    try:
        asked = json.loads(body)
        messages = asked.get("messages")
        if messages is None:
            start = asked["prompt"][:NUM_TOKENS]
        else:
            first = next((i for i, message in enumerate(messages) if message.get("role") == "user"), len(messages))
            start = messages[: first + 1]
        return json.dumps([asked.get("model"), start]).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return body


def choose(key: bytes, running: Mapping[str, int]) -> str:
    """The server for a prompt that begins with `key`.

    Args:
        running: By server, how many requests it runs now; not empty.
    """
    most = math.ceil(LOAD_FACTOR * (sum(running.values()) + 1) / len(running))
    ranked = sorted(running, key=lambda name: hashlib.blake2b(name.encode() + b"\0" + key).digest())
    return next(name for name in ranked if running[name] < most)
