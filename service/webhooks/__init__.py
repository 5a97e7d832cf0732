"""Signed messages in from chat platforms, signed events out, both through a durable queue. Imports nothing."""
