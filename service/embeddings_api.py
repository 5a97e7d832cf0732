"""`/v1/embeddings` as OpenAI's client speaks it: the core's pooled hidden states. Ignores how they are computed.

They come from a model that was trained to continue text: features for classifiers, not a search index.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Body, Request

from core_model.generation import RequestOptions
from service.callers import Authenticated, kit_of
from service.openai_schemas import EmbeddingRequest
from service.pieces import CORE
from service.problems import named_rule
from verticals.contract import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from core_model.pooled import FloatArray
    from core_model.served_model import Model

EXAMPLES: Any = {"two texts": {"value": {"model": CORE, "input": ["a lamp", "a chair"]}}}

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post("/embeddings", summary="Vectors of texts, as OpenAI's clients speak it")
def embed(
    request: Request, asked: Annotated[EmbeddingRequest, Body(openapi_examples=EXAMPLES)], caller: Authenticated
) -> dict[str, Any]:
    """One vector of length 1 for each input, in order: the mean of its tokens' last hidden states."""
    kit = kit_of(request)
    if asked.model != CORE:
        raise NotFound(f"must be {CORE}", field="model", value=asked.model)
    caller.require("core.embed")
    if kit.models is None:
        raise Unavailable("a remote engine gives no hidden states", remedy="Ask that server for embeddings.")
    engine: Any = kit.resources.engine

    def run(model: Model) -> tuple[FloatArray, int]:
        prompts = [model.tokenizer.encode(part) if isinstance(part, str) else part for part in asked.inputs]
        options = RequestOptions(tenant=caller.tenant)
        return model.engine.embed(prompts, normalize=True, options=options), sum(map(len, prompts))

    try:
        vectors_ND, num_tokens = engine.call(run)
    except ValueError as error:
        raise InvalidInput(named_rule(error)[1], field="input") from error
    data = [
        {"object": "embedding", "index": i, "embedding": _encoded(row_D, asked.encoding_format)}
        for i, row_D in enumerate(vectors_ND)
    ]
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return {"object": "list", "data": data, "model": asked.model, "usage": usage}


def _encoded(row_D: FloatArray, encoding: str) -> str | list[float]:
    if encoding == "float":
        return cast(list[float], row_D.tolist())
    return base64.b64encode(row_D.astype("<f4").tobytes()).decode("ascii")
