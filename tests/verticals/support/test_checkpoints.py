"""Checkpoints outlive the process on both databases, and only plain data comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from sqlalchemy import create_engine

from verticals.support.checkpoints import open_checkpointer

CONFIG: Any = {"configurable": {"thread_id": "demo/s-1"}}


class Kept(TypedDict, total=False):
    times: int
    thing: Any


@dataclass
class Thing:
    """Of a type that nobody has allowed."""

    name: str


def _graph(url: str) -> Any:
    def add(state: Kept) -> Kept:
        return {"times": state.get("times", 0) + 1}

    graph = StateGraph(Kept)
    graph.add_node("add", add)
    graph.add_edge(START, "add")
    graph.add_edge("add", END)
    return graph.compile(checkpointer=open_checkpointer(create_engine(url)))


def test_a_thread_goes_on_where_another_process_left_it(database_url: str) -> None:
    _graph(database_url).invoke({}, CONFIG, durability="exit")

    again = _graph(database_url).invoke({}, CONFIG, durability="exit")

    assert again == {"times": 2}


def test_an_object_does_not_come_back_as_an_object(database_url: str) -> None:
    _graph(database_url).invoke({"thing": Thing("x")}, CONFIG, durability="exit")

    thing = _graph(database_url).get_state(CONFIG).values["thing"]

    assert not isinstance(thing, Thing)
