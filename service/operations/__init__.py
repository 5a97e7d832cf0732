"""Watching the service: signals, alarms with their history, and who is told. Imports nothing at once."""
