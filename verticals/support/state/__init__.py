"""Dialogue state: what the customer wants so far, slot by slot, for services described in words. Ignores answers."""
