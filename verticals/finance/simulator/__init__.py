"""A bank that does not exist: SYNTHETIC customers, accounts, words and defaults, for demonstration and tests.

Nothing here is, or is drawn from, a real person. Figures on it show that a method works as meant, not what it is worth
on a bank's own customers.
"""

from __future__ import annotations

SYNTHETIC_NOTE = "Synthetic: made by the bank simulator (verticals/finance/simulator), of no real person."
SYNTHETIC_ID = "sim-"  # every simulated customer's id begins so, and no real one should


def is_synthetic(customer: str) -> bool:
    """Whether a customer's id is one of the simulator's."""
    return customer.startswith(SYNTHETIC_ID)
