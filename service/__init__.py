"""Settings, wiring, HTTP API, auth, audit, registry, monitoring, evaluation and the command line."""
