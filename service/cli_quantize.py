"""`trivium quantize`: a checkpoint folder in few bits. Ignores how codes are found: `core_model.compress` does that.

Calibration text is the caller's, or else the support articles that are shipped, each also asked about as in a chat.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape as plain

from service.cli_parts import require_file
from service.progress import show_progress
from verticals.contract import InvalidInput

if TYPE_CHECKING:
    from core_model.tokenizer import Tokenizer

PRECISIONS = {"int4": 4, "int8": 8}
_WINDOW = 512  # tokens

quantize_app = typer.Typer()


@quantize_app.command()
def quantize(
    model: Annotated[Path, typer.Option(help="A checkpoint folder that is not quantized.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    precision: Annotated[str, typer.Option(help="int4 or int8.")] = "int4",
    method: Annotated[str, typer.Option(help="rtn, awq, gptq or awq+gptq.")] = "awq+gptq",
    group_size: Annotated[
        int,
        typer.Option(
            min=0, help="Inputs that share a scale; 0 is one scale an output. Must divide all layers' inputs."
        ),
    ] = 64,
    offset: Annotated[
        str, typer.Option(help="symmetric, or integer zero points (closer, a little larger).")
    ] = "symmetric",
    plan: Annotated[Path | None, typer.Option(help="A plan of bits by layer, as JSON.")] = None,
    text: Annotated[
        list[Path] | None, typer.Option(help="Calibration text; may be repeated. Else the shipped support articles.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Calibration tokens at most.")] = 16_384,
) -> None:
    """Write a model in int4 or int8 as compressed-tensors, which vLLM and this core read."""
    from core_model.compress.checkpoint import quantize_checkpoint
    from core_model.compress.plan import Plan
    from core_model.compress.recipe import Recipe, UndertrainedExperts
    from core_model.compress.rounding import Scheme
    from core_model.tokenizer import Tokenizer

    if precision not in PRECISIONS:
        raise InvalidInput("is not offered", field="precision", value=precision, remedy="Use int4 or int8.")
    try:
        bits = Plan.from_json(_read_text(plan, field="plan")).bits if plan else {}
        scheme = Scheme(PRECISIONS[precision], group_size or None, offset)  # type: ignore[arg-type]
        recipe = Recipe(method, scheme, bits=bits)  # type: ignore[arg-type]
        windows = [] if method == "rtn" else calibration_windows(Tokenizer.from_folder(model), text or [], max_tokens)
        with _caught(UndertrainedExperts) as told, show_progress() as on_progress:
            found = quantize_checkpoint(model, out, recipe, windows=windows, on_progress=on_progress)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    console = Console()
    for warning in told:
        console.print(f"[yellow]warning[/yellow] {plain(str(warning.message))}", highlight=False, soft_wrap=True)
    share = found.coverage
    console.print(
        f"{out}: {share.linear:.1%} of the bytes of linear layers, {share.experts:.1%} of the experts'",
        highlight=False,
        soft_wrap=True,
    )


def calibration_windows(tokenizer: Tokenizer, paths: list[Path], max_tokens: int) -> list[list[int]]:
    """Token ids in windows: of the given files, else of shipped articles and chats about them."""
    texts = [_read_text(path, field="text") for path in paths] or shipped_texts(tokenizer)
    token_ids = tokenizer.encode("\n\n".join(texts))[:max_tokens]
    return [token_ids[first : first + _WINDOW] for first in range(0, len(token_ids), _WINDOW)]


def shipped_texts(tokenizer: Tokenizer) -> list[str]:
    """The support articles, as they are and, every other one, as an answer in the model's chat template."""
    from retrieval.ingest import read_folder

    folder = Path(str(files("verticals.support") / "knowledge"))
    documents, _ = read_folder(folder)
    texts = []
    for i, document in enumerate(documents):
        texts.append(f"# {document.title}\n\n{document.text}")
        if i % 2:
            turns = [{"role": "user", "content": document.title}, {"role": "assistant", "content": document.text}]
            texts.append(tokenizer.render_chat(turns, add_generation_prompt=False))
    return texts


def _read_text(path: Path, *, field: str) -> str:
    require_file(path, field=field)
    return path.read_text(encoding="utf-8")


def _caught(category: type[Warning]) -> Any:
    """Collects warnings of a kind, and says each once."""
    import warnings

    return warnings.catch_warnings(record=True, action="always", category=category)
