"""`GET /v1/me`: who the caller is and may do, so that a page shows only what will work. Ignores what is enforced."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from service.callers import Authenticated

router = APIRouter(prefix="/v1/me", tags=["service"])


class Me(BaseModel):
    """The caller. `roles` are a person's; a key has none. A customer's key has no scopes."""

    tenant: str
    actor: str
    roles: list[str]
    scopes: list[str]
    customer: str | None


@router.get("", summary="Tenant, roles and scopes of this key or token")
def me(caller: Authenticated) -> Me:
    """As the credential says; nothing else has a say in it."""
    return Me(
        tenant=caller.tenant,
        actor=caller.key_id,
        roles=list(caller.roles),
        scopes=list(caller.scopes),
        customer=caller.customer,
    )
