"""The finance commands that score nobody: export of the models in force. Ignores the kit: only the registry is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.settings import read_settings

finance_app = typer.Typer(help="The credit models.", no_args_is_help=True)


@finance_app.callback()
def finance() -> None:
    """The credit models."""


@finance_app.command("export-onnx")
def export_onnx(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for scorecard.onnx and challenger.onnx.")],
) -> None:
    """Write the models in force as ONNX graphs, checked against ours on the development sample."""
    from service.registry import FileRegistry
    from verticals.finance.onnx_export import export_active

    exports = export_active(FileRegistry(read_settings().home / "registry"))
    out.mkdir(parents=True, exist_ok=True)
    for export in exports:
        (out / export.file_name).write_bytes(export.content)
        print(f"{export.file_name}: version {export.version}, at most {export.max_difference:.1g} from ours")
