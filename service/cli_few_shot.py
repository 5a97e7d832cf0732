"""The commands of few-shot findings: train on labelled images, list, enable, disable, roll back. No language model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from service.cli_admin import Tenant
from service.cli_parts import open_parts, require_file
from service.progress import show_progress
from verticals.contract import Context

if TYPE_CHECKING:
    from verticals.medical.fewshot.handlers import FewShotDesk
    from verticals.medical.fewshot.schemas import FewShotFinding, TrainedVersion

few_shot_app = typer.Typer(
    help="Findings of a site's own from some fifty labelled images. Never in a report.", no_args_is_help=True
)
Finding = Annotated[str, typer.Argument(help="The site's own name of it.")]
Name = Annotated[str, typer.Option(help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the finding and in the audit trail.")]


@few_shot_app.command()
def train(
    file: Annotated[Path, typer.Argument(help="ZIP of images and labels.csv: file,label,patient[,split].")],
    finding: Annotated[str, typer.Option(help="The site's own name of it.")],
    modality: Annotated[str, typer.Option(help="CT, MR, CR, DX or OP.")],
    body_part: Annotated[str, typer.Option(help="As Body Part Examined (0018,0015) has it.")],
    licence: Annotated[str, typer.Option(help="Of the images: what the model may be used for.")],
    tenant: Tenant = "demo",
) -> None:
    """Learn by three methods, and measure each on patients that it did not learn from. Nothing is enabled."""
    from verticals.contract import OpenFile
    from verticals.medical.fewshot.schemas import TrainFewShotRequest

    require_file(file)
    with _desk(tenant) as (desk, context), file.open("rb") as source, show_progress() as on_progress:
        request = TrainFewShotRequest(
            file=OpenFile.over(source, filename=file.name),
            finding=finding,
            modality=modality,
            body_part=body_part,
            licence=licence,
        )
        found = desk.train(request, context, progress=on_progress).finding
    _tell(found)


@few_shot_app.command("list")
def list_findings(tenant: Tenant = "demo") -> None:
    """Every finding with its versions, what they are worth, and which is in use."""
    from verticals.medical.fewshot.schemas import FewShotRequest

    with _desk(tenant) as (desk, context):
        found = desk.list(FewShotRequest(), context).findings
    for one in found:
        _tell(one)
    if not found:
        print("No finding has been trained.")


@few_shot_app.command()
def enable(
    finding: Finding,
    version: Annotated[str, typer.Argument(help="As `list` shows it.")],
    name: Name,
    reason: Reason,
    tenant: Tenant = "demo",
) -> None:
    """Bring a version into use whose figures allow it."""
    from verticals.medical.fewshot.schemas import EnableFewShotRequest

    with _desk(tenant) as (desk, context):
        request = EnableFewShotRequest(finding=finding, version=version, name=name, reason=reason)
        _tell(desk.enable(request, context).finding)


@few_shot_app.command()
def disable(finding: Finding, name: Name, reason: Reason, tenant: Tenant = "demo") -> None:
    """Take a finding out of use; its versions stay."""
    from verticals.medical.fewshot.schemas import DisableFewShotRequest

    with _desk(tenant) as (desk, context):
        _tell(desk.disable(DisableFewShotRequest(finding=finding, name=name, reason=reason), context).finding)


@few_shot_app.command("roll-back")
def roll_back(finding: Finding, name: Name, reason: Reason, tenant: Tenant = "demo") -> None:
    """Take the last enabling or disabling of a finding back."""
    from verticals.medical.fewshot.schemas import RollBackFewShotRequest

    with _desk(tenant) as (desk, context):
        _tell(desk.roll_back(RollBackFewShotRequest(finding=finding, name=name, reason=reason), context).finding)


@contextmanager
def _desk(tenant: str) -> Iterator[tuple[FewShotDesk, Context]]:
    from verticals.medical.fewshot.handlers import FewShotDesk
    from verticals.medical.part10 import prepare_pydicom

    prepare_pydicom()
    with open_parts() as parts:
        yield FewShotDesk(parts.sessions, parts.registry), parts.context(tenant)


def _tell(found: FewShotFinding) -> None:
    console: Any = Console(soft_wrap=True)
    console.print(f"{found.finding}: {f'{found.enabled} is in use' if found.enabled else 'none in use'}", markup=False)
    for one in found.versions:
        console.print(f"  {_line(one)}", highlight=False, markup=False)
        for why in one.refusals:
            console.print(f"    may not be enabled: {why}", highlight=False, markup=False)


def _line(one: TrainedVersion) -> str:
    auc, counts = one.figures.auc, f"{one.train.images} + {one.validation.images} images"
    mark = "*" if one.enabled else " "
    return f"{mark} {one.version} {one.method}, {counts}: AUC {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})"
