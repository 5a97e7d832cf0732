"""The professions. Modules here are shared; each folder is one vertical that obeys `verticals.contract`."""
