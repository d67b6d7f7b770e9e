"""The calls that answer at once: generateContent, countTokens, embeddings, models."""

from hashlib import sha256

import anyio
import msgspec
from starlette.responses import Response

from .answers import answer, embedding
from .call import Call
from .faults import armed
from .messages import read_request
from .models import CATALOGUE, Model, find_model
from .outcomes import OK, Outcome, file_names, natural_refusal, outcome_of_rule
from .plan import matches, prompt_of
from .settings import read_settings
from .stored_files import file_is_readable
from .tiers import TIER_HEADER, serve
from .tokens import details, prompt_tokens
from .wire import ApiError, Object, as_list, as_object, canonical, page_token, read_page_token, reply

UNTOLD = frozenset({"gemini-embedding-001"})
"""Models of embeddings that tell no tokens when they answer at once."""
HTTP_OF_RPC = {3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 13: 500, 14: 503}


async def generate(call: Call) -> Response:
    """`models.generate_content`."""
    model = find_model(call.path("model"), "generateContent", call.version)
    owner = call.owner
    request = read_request("GenerateContentRequest", await call.json())
    settings = read_settings(call.store)
    if settings.latency_s:
        await anyio.sleep(settings.latency_s)
    digest = request_digest(model, request)
    served = await serve(call, settings.flex, request, settings.flex.dice(digest, _note_asked(call, digest)))
    outcome = _outcome(call, model, request)
    if outcome.error is not None:
        raise _http_error(outcome.error)
    response = answer(model, request, outcome, settings.drawn)
    usage = as_object(response["usageMetadata"])
    usage["serviceTier"] = f"SERVICE_TIER_{served.upper()}"
    _note_served(call, digest)
    with call.store.transaction():
        _bill(call, owner, model, usage, served, _searches(response))
    return reply(response, headers={TIER_HEADER: served})


def request_digest(model: Model, request: Object) -> str:
    """A short name of a request, at whatever tier it is asked for."""
    content = {name: value for name, value in request.items() if name not in ("model", "serviceTier")}
    return sha256(model.id.encode() + b"\0" + canonical(content)).hexdigest()[:16]


def _note_asked(call: Call, digest: str) -> int:
    """Count that a request was asked for, and say how often until now."""
    sql = "INSERT INTO asked VALUES (?, ?, 1, 0) ON CONFLICT (owner, digest) DO UPDATE SET asked = asked + 1 "
    return int(call.store.rows(sql + "RETURNING asked", call.owner, digest)[0]["asked"])


def _note_served(call: Call, digest: str) -> None:
    call.store.rows("UPDATE asked SET served = served + 1 WHERE owner = ? AND digest = ?", call.owner, digest)


def _searches(response: Object) -> int:
    groundings = [as_object(as_object(one).get("groundingMetadata")) for one in as_list(response.get("candidates"))]
    return sum(len(as_list(grounding.get("webSearchQueries"))) for grounding in groundings)


def _outcome(call: Call, model: Model, request: Object) -> Outcome:
    missing = [name for name in file_names(request) if not file_is_readable(call.store, call.owner, name)]
    refusal = natural_refusal(request, model, missing)
    if refusal:
        return Outcome("error", refusal)
    prompt = prompt_of(request)
    for rule in armed(call.store):
        match = as_object(rule.get("match"))
        if rule["fault"] == "row" and "prompt" in match and matches(match, "", 0, prompt):
            return outcome_of_rule(rule)
    return OK


def _http_error(error: Object) -> ApiError:
    return ApiError(HTTP_OF_RPC.get(int(error["code"]), 500), str(error["message"]))


def _bill(call: Call, owner: str, model: Model, usage: Object, tier: str = "standard", searches: int = 0) -> None:
    call.store.rows(
        "INSERT INTO charges VALUES (?, ?, ?, ?, 1) ON CONFLICT (owner, model, usage, searches) "
        "DO UPDATE SET calls = calls + 1",
        owner, model.id, msgspec.json.encode(usage, order="sorted").decode(), searches,
    )  # fmt: skip
    call.store.rows(
        "INSERT INTO live_calls VALUES (?, ?, ?, 1, ?, ?, ?) "
        "ON CONFLICT (owner, model, tier) DO UPDATE SET calls = calls + 1, "
        "input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens, "
        "thought_tokens = thought_tokens + excluded.thought_tokens",
        owner, model.id, tier, usage.get("promptTokenCount", 0), usage.get("candidatesTokenCount", 0),
        usage.get("thoughtsTokenCount", 0),
    )  # fmt: skip


async def count_tokens(call: Call) -> Response:
    """`models.count_tokens`: of contents, or of a whole request."""
    model = find_model(call.path("model"), "countTokens", call.version)
    _ = call.owner
    body = read_request("CountTokensRequest", await call.json())
    if "contents" in body and "generateContentRequest" in body:
        raise ApiError(400, "contents and generate_content_request are mutually exclusive.")
    counts = prompt_tokens(as_object(body.get("generateContentRequest", body)), model)
    return reply({"totalTokens": counts.total(), "promptTokensDetails": details(counts)})


async def embed(call: Call) -> Response:
    """`embedContent`; newer models say what it took."""
    model = find_model(call.path("model"), "embedContent", call.version)
    request = read_request("EmbedContentRequest", await call.json())
    settings = read_settings(call.store)
    if settings.latency_s:
        await anyio.sleep(settings.latency_s)
    made: Object = {"embedding": _embedded(call, model, request)}
    if model.id not in UNTOLD:
        counts = prompt_tokens(request, model)
        made["usageMetadata"] = {"promptTokenCount": counts.total(), "promptTokenDetails": details(counts)}
    return reply(made)


async def embed_many(call: Call) -> Response:
    """`batchEmbedContents`, which is what `models.embed_content` sends."""
    model = find_model(call.path("model"), "embedContent", call.version)
    body = read_request("BatchEmbedContentsRequest", await call.json())
    return reply({"embeddings": [_embedded(call, model, as_object(one)) for one in as_list(body.get("requests"))]})


def _embedded(call: Call, model: Model, request: Object) -> Object:
    outcome = _outcome(call, model, request)
    if outcome.error is not None:
        raise _http_error(outcome.error)
    made = embedding(model, request)
    _bill(call, call.owner, model, {"promptTokenCount": int(made["tokenCount"])})
    return as_object(made["embedding"])


async def get_model(call: Call) -> Response:
    """`models.get`."""
    _ = call.owner
    return reply(find_model(call.path("model"), None, call.version).resource())


async def list_models(call: Call) -> Response:
    """`models.list`."""
    _ = call.owner
    size = call.page_size(50, 1000)
    first = read_page_token(call.query("pageToken", "page_token")) or 0
    models = list(CATALOGUE.values())
    body: Object = {"models": [model.resource() for model in models[first : first + size]]}
    return reply(body | ({"nextPageToken": page_token(first + size)} if first + size < len(models) else {}))
