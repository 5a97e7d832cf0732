"""Behaviour histories: events of an account, features of them, and a vector that knows their order."""
