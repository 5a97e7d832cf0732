"""Safety in and out: harmful requests, injected instructions, personal data. `guard.py` is the door to all of it."""
