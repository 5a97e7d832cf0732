"""The operations on a customer's memory: see, export, forget. Ignores how it came about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from verticals.contract import Artifact, Context, CustomerRecords, Decision, InvalidInput, NotFound
from verticals.support.actions import ActionDesk
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
    """One method per operation: `(request, context)` to response.

    Args:
        memory: What is remembered.
        actions: Finishes what was accepted before a customer is forgotten.
        consents: Shown beside what is remembered.
        records: The other stores of customers' words, in the order in which they are erased.
    """

    def __init__(
        self, memory: CustomerMemory, actions: ActionDesk, consents: ConsentDesk, records: Sequence[CustomerRecords]
    ) -> None:
        self._memory, self._actions, self._consents, self._records = memory, actions, consents, records

    def get_memory(self, request: CustomerRequest, context: Context) -> MemoryView:
        """All of it."""
        owner = owner_of(request, context)
        memories = [MemoryItem(**vars(memory)) for memory in self._memory.everything(owner)]
        return MemoryView(customer=owner.customer, memories=memories, consents=self._consents.of(owner))

    def export_memory(self, request: CustomerRequest, context: Context) -> Artifact:
        """All that forgetting the customer would erase, as a file."""
        view, owner = self.get_memory(request, context), owner_of(request, context)
        found = {store.name: store.export(owner.tenant, owner.customer) for store in self._records}
        content = json.dumps(view.model_dump(mode="json") | found, indent=2, ensure_ascii=False)
        return Artifact(content.encode(), "application/json", "memory.json")

    def forget_memory(self, request: ForgetMemoryRequest, context: Context) -> ForgetMemoryResponse:
        """Forget one memory, or all: every store erases the customer's words.

        Stores are erased one after the other; after a crash between two, the same request erases the rest. The audit
        trail keeps that it was done, and not whose it was.

        Raises:
            NotFound: the customer has no such memory.
        """
        owner, erased = owner_of(request, context), {}
        if request.memory_id is None:
            self._actions.recover(context)
            erased = {store.name: store.erase(owner.tenant, owner.customer) for store in self._records}
        forgotten = self._memory.forget(owner, memory_id=request.memory_id)
        if request.memory_id is not None and not forgotten:
            raise NotFound("no such memory", field="memory_id", value=request.memory_id, remedy="List them first.")
        subject = hashlib.sha256(f"{owner.tenant}\0{owner.customer}".encode()).hexdigest()
        context.record(
            Decision(
                kind="support.forget",
                subject=subject[:32],
                input_sha256=subject,
                outcome={"forgotten": forgotten, **erased},
                model_version="none",
            )
        )
        return ForgetMemoryResponse(forgotten=forgotten, erased=erased)


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
