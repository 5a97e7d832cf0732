"""What an exception says without the data that its message may quote. Ignores where that is written."""

from __future__ import annotations

from types import TracebackType

from verticals.contract import TriviumError


def describe_error(error: BaseException) -> str:
    """Type and place; for our own errors their message.

    `TriviumError` messages hold ids and rules by contract; pydantic's or pandas' may quote a record.
    """
    if isinstance(error, TriviumError):
        return str(error)
    places = places_of(error.__traceback__)
    return f"{type(error).__name__} at {places[-1]}" if places else type(error).__name__


def places_of(traceback: TracebackType | None) -> list[str]:
    """Where it passed, "module:line (function)", the outermost first."""
    places = []
    while traceback is not None:
        frame = traceback.tb_frame
        places.append(f"{frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno} ({frame.f_code.co_name})")
        traceback = traceback.tb_next
    return places
