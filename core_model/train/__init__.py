"""Training of small models that the serving core runs. Ignores serving: nothing here is imported by an engine."""
