"""Prompt files in three parts (role, task, examples) to chat messages. Ignores what is asked and of which model."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from core_model.chat_model import EngineChatModel

_PARTS = ("Role", "Task", "Examples")
_FOLDER = Path(__file__).parent / "prompts"


@cache
def load_prompt(name: str) -> tuple[BaseMessage, ...]:
    """The opening messages of `prompts/<name>.md`: the system message and its worked examples.

    Raises:
        ValueError: a part is missing or out of order, or an example lacks its answer.
    """
    return parse_prompt((_FOLDER / f"{name}.md").read_text("utf-8"))


def parse_prompt(markdown: str) -> tuple[BaseMessage, ...]:
    """Messages of a prompt file's text; see `load_prompt`."""
    text = re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL)
    _, *sections = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    if tuple(name.strip() for name in sections[::2]) != _PARTS:
        raise ValueError(f"prompt: needs the parts {', '.join(_PARTS)} in this order (got {sections[::2]}).")
    role, task, examples = (body.strip() for body in sections[1::2])
    _, *turns = re.split(r"^### +(.+)$", examples, flags=re.MULTILINE)
    roles = [name.strip() for name in turns[::2]]
    if roles != ["Customer", "Assistant"] * (len(roles) // 2):
        raise ValueError("prompt: examples must alternate between '### Customer' and '### Assistant'.")
    kinds = {"Customer": HumanMessage, "Assistant": AIMessage}
    return (
        SystemMessage(re.sub(r"(?<!\n)\n(?!\n)", " ", f"{role}\n\n{task}")),
        *(kinds[name](body.strip()) for name, body in zip(roles, turns[1::2], strict=True)),
    )


def as_data(text: str) -> str:
    """Text of customers and documents on one line, unable to close the tag that holds it."""
    return re.sub(r"\s+", " ", text).replace("<", "‹").replace(">", "›").strip()


def tenant_option(model: BaseChatModel, tenant: str) -> dict[str, str]:
    """The option that tells the engine whose request it is, so that tenants share no cached prompt.

    A remote server is not told.
    """
    return {"user": tenant} if isinstance(model, EngineChatModel) else {}
