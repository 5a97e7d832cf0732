"""The demo shop: its database, its tools, and the one place where they change something."""
