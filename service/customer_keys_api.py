"""`/v1/customer-keys`: a shop's server gets short-lived keys for its signed-in customers. Ignores what they ask.

The shop knows who is signed in; the browser or app then talks to us with a key that is that customer's and nothing
more, so no request body ever says whose orders or memory are meant.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from service.callers import Authenticated, kit_of
from service.problems import request_id_of
from verticals.support.schemas import Identifier

router = APIRouter(prefix="/v1/customer-keys", tags=["keys"])


class CustomerKeyRequest(BaseModel):
    """Whose key."""

    model_config = ConfigDict(extra="forbid")
    customer: Annotated[Identifier, Field(description="The shop's own id of the signed-in customer.")]
    lifetime_s: Annotated[int, Field(ge=60, le=86_400)] = 3_600


class CustomerKey(BaseModel):
    """A key that opens what customers may do, for one of them. It is shown this once."""

    key: str
    customer: str
    expires_at: datetime


@router.post("", summary="A short-lived key for one customer")
def issue_customer_key(request: Request, asked: CustomerKeyRequest, caller: Authenticated) -> CustomerKey:
    """Needs the scope `keys.customers`; the key belongs to the caller's tenant."""
    caller.require("keys.customers")
    lifetime = timedelta(seconds=asked.lifetime_s)
    expires_at = datetime.now(UTC) + lifetime
    label = f"issued by {caller.key_id}"
    by = caller.who(request_id_of(request))
    key = kit_of(request).keys.issue(
        tenant=caller.tenant, label=label, lifetime=lifetime, customer=asked.customer, by=by
    )
    return CustomerKey(key=key, customer=asked.customer, expires_at=expires_at)
