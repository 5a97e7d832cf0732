"""`/v1/evals/runs`: the nightly's history and each run's report over HTTP. Ignores how figures are made."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from service.auth import Caller
from service.callers import Authenticated, kit_of
from service.evals.history import read_runs
from service.evals.tables import EvalRun
from verticals.contract import NotFound

router = APIRouter(prefix="/v1/evals", tags=["service"])

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
RunId = Annotated[str, Path(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{6}$")]


@router.get("/runs", summary="Evaluation runs, newest first")
def list_runs(
    request: Request, caller: Authenticated, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[dict[str, Any]]:
    """Runs of this tenant; one that has not finished has status `running`."""
    caller.require("evals.read")
    with kit_of(request).sessions() as session:
        return [
            {
                "run_id": run.id,
                "status": run.status,
                "exit_code": run.exit_code,
                "started_at": run.started_at.isoformat(),
                "finished_at": run.finished_at.isoformat() if run.finished_at else None,
                "target": run.target,
                "is_baseline": is_baseline,
            }
            for run, is_baseline in read_runs(session, tenant=caller.tenant, limit=limit)
        ]


@router.get("/runs/{run_id}", summary="The report of one run")
def get_run(request: Request, caller: Authenticated, run_id: RunId) -> dict[str, Any]:
    """The JSON report that was written beside the HTML one; `trivium eval schema` gives its schema."""
    return cast(dict[str, Any], json.loads(_report(request, caller, run_id, "json")))


@router.get("/runs/{run_id}/page", summary="The report of one run as a page", response_class=HTMLResponse)
def get_page(request: Request, caller: Authenticated, run_id: RunId) -> HTMLResponse:
    """Self-contained HTML: it runs nothing and fetches nothing."""
    return HTMLResponse(_report(request, caller, run_id, "html"), headers={"Content-Security-Policy": PAGE_POLICY})


def _report(request: Request, caller: Caller, run_id: str, suffix: str) -> str:
    caller.require("evals.read")
    kit = kit_of(request)
    with kit.sessions() as session:
        run = session.get(EvalRun, run_id)
    path = kit.settings.reports / f"{run_id}.{suffix}"
    if run is None or run.tenant != caller.tenant or not path.exists():
        raise NotFound("no report of such a run", field="run_id", value=run_id, remedy="GET /v1/evals/runs lists them.")
    return path.read_text(encoding="utf-8")
