"""The operations on a customer's memory: see, export, forget. Ignores how it came about."""

from __future__ import annotations

import hashlib

from retrieval.ledger import Ledger
from verticals.contract import Artifact, Context, Decision, InvalidInput, NotFound
from verticals.support.consents import ConsentDesk
from verticals.support.memory.store import CustomerMemory, Owner
from verticals.support.schemas import (
    CustomerRequest,
    ForgetMemoryRequest,
    ForgetMemoryResponse,
    MemoryItem,
    MemoryView,
)


class MemoryHandlers:
    """One method per operation: `(request, context)` to response."""

    def __init__(self, memory: CustomerMemory, ledger: Ledger, consents: ConsentDesk) -> None:
        self._memory, self._ledger, self._consents = memory, ledger, consents

    def get_memory(self, request: CustomerRequest, context: Context) -> MemoryView:
        """All of it."""
        owner = owner_of(request, context)
        memories = [MemoryItem(**vars(memory)) for memory in self._memory.everything(owner)]
        return MemoryView(customer=owner.customer, memories=memories, consents=self._consents.of(owner))

    def export_memory(self, request: CustomerRequest, context: Context) -> Artifact:
        """All of it, as a file."""
        content = self.get_memory(request, context).model_dump_json(indent=2)
        return Artifact(content.encode(), "application/json", "memory.json")

    def forget_memory(self, request: ForgetMemoryRequest, context: Context) -> ForgetMemoryResponse:
        """Forget one memory, or all with what the customer's answers were made from and their consents.

        The audit trail keeps that it was done, and not whose it was.

        Raises:
            NotFound: the customer has no such memory.
        """
        owner = owner_of(request, context)
        forgotten = self._memory.forget(owner, memory_id=request.memory_id)
        if request.memory_id is not None and not forgotten:
            raise NotFound("no such memory", field="memory_id", value=request.memory_id, remedy="List them first.")
        if request.memory_id is None:
            self._ledger.forget_customer(owner.customer, tenant=owner.tenant)
            self._consents.forget(owner)
        subject = hashlib.sha256(f"{owner.tenant}\0{owner.customer}".encode()).hexdigest()
        context.record(
            Decision(
                kind="support.forget",
                subject=subject[:32],
                input_sha256=subject,
                outcome={"forgotten": forgotten},
                model_version="none",
            )
        )
        return ForgetMemoryResponse(forgotten=forgotten)


def owner_of(request: CustomerRequest, context: Context) -> Owner:
    """Whose memory a request means: the key's customer; for staff, the customer that they name.

    Raises:
        NotFound: a customer's key names another customer.
        InvalidInput: staff name none.
    """
    if context.customer is not None and request.customer not in (None, context.customer):
        raise NotFound("no such customer", field="customer", value=request.customer)
    customer = context.customer or request.customer
    if customer is None:
        raise InvalidInput("whose memory is meant must be said", field="customer", remedy="Name the customer.")
    return Owner(context.tenant, customer)
