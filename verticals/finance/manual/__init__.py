"""Decisions that people put in the place of the policy's: record, confirm, count. Imports nothing."""
