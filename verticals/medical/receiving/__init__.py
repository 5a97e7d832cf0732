"""The ways in: a queue that goes on, C-STORE, STOW-RS, a watched folder, and a PACS to fetch from."""
