"""A request may ask only by the query parameters that its route declares. Ignores their values, which FastAPI checks.

FastAPI takes no notice of others: a misspelt filter would give everything, a wished-for dry run would be done.
"""

from __future__ import annotations

from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Path

from verticals.contract import InvalidInput


async def only_declared(request: Request) -> None:
    """A dependency of every route.

    Raises:
        InvalidInput: the query has a parameter that the route does not declare; the nearest one is named.
    """
    if not request.scope["query_string"]:
        return
    declared = _declared(request)
    for name in request.query_params:
        if name not in declared:
            near = get_close_matches(name, declared, n=1)
            remedy = f"Did you mean `{near[0]}`?" if near else f"It takes {', '.join(declared) or 'none'}."
            raise InvalidInput("is no query parameter of this route", field=name, remedy=remedy)


def _declared(request: Request) -> list[str]:
    fields = get_flat_params(request.scope["route"].dependant)
    return [field.alias for field in fields if not isinstance(field.field_info, Path)]
