"""The repository keeps its structural rules, and each rule catches code that breaks it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import (
    LAYERS,
    MAX_LINES,
    check_sources,
    dashboard_names,
    machine_paths,
    read_sources,
)

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "transformers", "pandas", "sklearn", "lightgbm", "optbinning", "pydicom", "highdicom", "langgraph"}


def _tree(root: Path, files: dict[str, str]) -> Path:
    for file, text in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _found(root: Path) -> list[tuple[str, int, str]]:
    return [(found.file, found.line, found.rule) for found in check_sources(read_sources(root))]


def _tracked_files() -> list[str]:
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        done = subprocess.run([git, "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
        return [file for file in done.stdout.split("\0") if file]
    return [
        path.relative_to(ROOT).as_posix()
        for folder in (*LAYERS, "tests", "docs")
        for path in (ROOT / folder).rglob("*")
    ]


# --- the repository -------------------------------------------------------------------------------------------------


def test_the_code_keeps_every_rule() -> None:
    sources = read_sources(ROOT)

    assert {source.layer for source in sources} == set(LAYERS)
    assert [str(found) for found in check_sources(sources)] == []


def test_no_dashboard_file_hides_a_package() -> None:
    assert dashboard_names(ROOT) == []


def test_no_tracked_file_names_a_folder_of_somebodys_machine() -> None:
    files = _tracked_files()

    assert "pyproject.toml" in files or not (ROOT / ".git").exists()
    assert [str(found) for found in machine_paths(ROOT, files)] == []


def test_test_files_keep_the_length_rule() -> None:
    long = {
        path.name: count
        for path in (ROOT / "tests").rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }

    assert long == {}


def test_importing_every_vertical_loads_no_heavy_package() -> None:
    names = sorted(path.parent.name for path in (ROOT / "verticals").glob("*/__init__.py"))
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module('verticals.' + name)\n"
    code += f"print(sorted({HEAVY} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# --- seeded violations ----------------------------------------------------------------------------------------------

FINANCE, SUPPORT = {"verticals/finance/__init__.py": ""}, {"verticals/support/__init__.py": ""}


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("core_model/x.py", "import retrieval.documents"),
        ("core_model/x.py", "from verticals import contract"),
        ("retrieval/x.py", "from core_model.engine import TextEngine"),
        ("verticals/contract.py", "from service.storage import Base"),
        ("verticals/contract.py", "from verticals.finance import schemas"),
        ("verticals/support/x.py", "from verticals.finance.schemas import Applicant"),
        ("verticals/support/x.py", "from verticals import finance"),
        ("verticals/support/x.py", "from ..finance import schemas"),
        ("verticals/support/x.py", "import dashboards"),
        ("service/x.py", "from dashboards import charts"),
        ("service/x.py", "import importlib; importlib.import_module('dashboards.app')"),
        ("dashboards/x.py", "from service import wiring"),
        ("dashboards/x.py", "import service"),
        ("dashboards/x.py", "from verticals.finance import scoring"),
        ("dashboards/x.py", "from verticals.contract import Metric"),
        ("dashboards/x.py", "from core_model.engine import TextEngine"),
    ],
)
def test_an_import_against_the_layers_is_caught(tmp_path: Path, file: str, code: str) -> None:
    _tree(tmp_path, {**FINANCE, **SUPPORT, file: f"def late():\n    {code}\n"})

    assert _found(tmp_path) == [(file, 2, "layers")]


def test_imports_along_the_layers_are_let_through(tmp_path: Path) -> None:
    files = {
        "retrieval/x.py": "from retrieval.documents import Hit\nfrom . import documents\n",
        "verticals/finance/x.py": "from verticals.contract import Metric\nfrom .schemas import A\nimport core_model\n",
        "service/x.py": "import verticals\nfrom verticals.finance import VERTICAL\nfrom service import client\n",
        "dashboards/x.py": "from service.client import Client\nfrom service import client\nfrom . import charts\n"
        "from verticals.finance.schemas import A\nfrom verticals.finance import schemas\n",
    }

    assert _found(_tree(tmp_path, {**FINANCE, **files})) == []


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("core_model/x.py", "transformers"),
        ("retrieval/x.py", "fastapi"),
        ("verticals/x.py", "pandas"),
        ("verticals/finance/x.py", "pydicom"),
        ("verticals/medical/x.py", "pandas"),
        ("verticals/support/x.py", "lightgbm"),
        ("service/x.py", "streamlit"),
        ("dashboards/x.py", "httpx"),
    ],
)
def test_a_package_that_the_layer_may_not_use_is_caught(tmp_path: Path, file: str, package: str) -> None:
    _tree(tmp_path, {file: f"import json\nimport {package}\n"})

    assert _found(tmp_path) == [(file, 2, "third-party")]


def test_a_vertical_may_use_its_own_packages(tmp_path: Path) -> None:
    _tree(tmp_path, {"verticals/finance/x.py": "import pandas\n", "verticals/medical/x.py": "import pydicom.uid\n"})

    assert _found(tmp_path) == []


@pytest.mark.parametrize(
    "code",
    [
        "import os\ndef f(): return os.environ['A']",
        "import os\ndef f(): return os.getenv('A')",
        "import os\ndef f(): os.environ.update(A='1')",
        "\nfrom os import environ",
    ],
)
def test_reading_the_environment_outside_the_settings_is_caught(tmp_path: Path, code: str) -> None:
    _tree(tmp_path, {"verticals/x.py": code, "service/settings.py": code})

    assert _found(tmp_path) == [("verticals/x.py", 2, "environment")]


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.set_num_threads(1)",
        "import logging\nlogging.basicConfig(level=20)",
        "import torch\nDEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'",
        "import torch\ntorch.backends.cudnn.benchmark = True",
        "import random\nif True: random.seed(0)",
        "from pathlib import Path\nTEXT = Path('a').read_text()",
        "import json\nwith open('a') as file: WORDS = json.load(file)",
        "import torch\nclass Model: x = torch.manual_seed(0)",
        "def main(): pass\nmain()",
        "import torch\ndef f(x=torch.manual_seed(0)): pass",
    ],
)
def test_effects_at_import_are_caught(tmp_path: Path, code: str) -> None:
    _tree(tmp_path, {"core_model/x.py": code})

    assert _found(tmp_path) == [("core_model/x.py", 2, "import-time")]


def test_work_inside_functions_and_on_the_modules_own_objects_is_let_through(tmp_path: Path) -> None:
    code = "import typer\napp, sub = typer.Typer(), typer.Typer()\napp.add_typer(sub, name='sub')\n"
    code += "TABLE = {}\nTABLE['a'] = 1\ndef f():\n    open('a')\nif __name__ == '__main__':\n    f()\n"

    assert _found(_tree(tmp_path, {"service/x.py": code})) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "def f(x): return eval(x)",
        "def f(x): exec(x)",
        "def f(run, x): run(x, shell=True)",
        "def f(np): np.load('a', allow_pickle=True)",
        "def f(torch): torch.load('a')",
        "def f(pd): pd.read_pickle('a')",
        "def f(os): os.system('a')",
    ],
)
def test_code_that_runs_data_is_caught(tmp_path: Path, code: str) -> None:
    found = _found(_tree(tmp_path, {"service/x.py": code}))

    assert ("service/x.py", 1, "unsafe-code") in found


def test_a_models_eval_mode_and_a_shell_switched_off_are_let_through(tmp_path: Path) -> None:
    code = "def f(model, run): model.eval(); run(['ls'], shell=False)\n"

    assert _found(_tree(tmp_path, {"core_model/x.py": code})) == []


def test_a_heavy_package_behind_a_verticals_init_is_caught_through_its_schemas(tmp_path: Path) -> None:
    files = {
        "verticals/finance/__init__.py": "from verticals.finance.schemas import A\n",
        "verticals/finance/schemas.py": "from . import frames\n",
        "verticals/finance/frames.py": "import pydantic\nimport pandas\n",
        "verticals/finance/scoring.py": "import lightgbm\n",  # not imported by the init
    }

    assert _found(_tree(tmp_path, files)) == [("verticals/finance/frames.py", 2, "light-init")]


def test_a_heavy_package_inside_a_function_or_a_type_check_of_an_init_is_let_through(tmp_path: Path) -> None:
    code = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\ndef build(r):\n    import lightgbm\n"
    )

    assert _found(_tree(tmp_path, {"verticals/finance/__init__.py": code})) == []


def test_a_file_of_more_than_400_lines_is_caught(tmp_path: Path) -> None:
    _tree(tmp_path, {"service/fits.py": "#\n" * MAX_LINES, "service/long.py": "#\n" * (MAX_LINES + 1)})

    assert _found(tmp_path) == [("service/long.py", MAX_LINES + 1, "file-length")]


@pytest.mark.parametrize(
    "file", ["service.py", "views/pandas.py", "retrieval/x.py", "pages/finance.py", "statistics.py"]
)
def test_a_dashboard_file_that_hides_a_package_is_caught(tmp_path: Path, file: str) -> None:
    _tree(tmp_path, {f"dashboards/{file}": "", "dashboards/views/finance.py": "", "dashboards/app.py": ""})

    assert [found.rule for found in dashboard_names(tmp_path)] == ["dashboard-names"]


@pytest.mark.parametrize("folder", ["home/jane", "Users/jane", "root/.cache", "work/project"])
def test_a_path_of_somebodys_machine_is_caught(tmp_path: Path, folder: str) -> None:
    _tree(tmp_path, {"docs/x.md": f"fine\nsee /{folder}/data\n", "deploy/Containerfile": f"COPY . /{folder}\n"})

    found = machine_paths(tmp_path, ["docs/x.md", "deploy/Containerfile", "docs/deleted.md"])

    assert [(each.file, each.line, each.rule) for each in found] == [("docs/x.md", 2, "machine-path")]


def test_paths_that_are_nobodys_machine_and_binary_files_are_let_through(tmp_path: Path) -> None:
    texts = (
        "https://example.com/home/jane",
        "~/work/x",
        "docs/work/x",
        "$HOME/work",
        "{root}/home/a",
        "/tmp/x",
        "/var/lib",
    )
    _tree(tmp_path, {"a.md": "\n".join(texts)})
    (tmp_path / "b.bin").write_bytes(b"\0 /" + b"home/jane")

    assert machine_paths(tmp_path, ["a.md", "b.bin"]) == []
