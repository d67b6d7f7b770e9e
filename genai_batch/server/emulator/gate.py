"""What every call passes: the log, the rate limit, the faults, and errors turned into replies."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from . import clock
from .broken import CALL_FAULTS, Struck
from .call import Call, Handler
from .faults import strike_call
from .settings import read_settings
from .store import Store
from .wire import ApiError, Object

LOGGED = 1000


def gated(store: Store, kind: str, handler: Handler) -> Any:
    """A handler as a Starlette endpoint."""

    async def endpoint(request: Request) -> Response:
        call = Call(store, request, kind)
        status = 0
        try:
            response = await _answer(call, handler)
            status = response.status_code
        except ApiError as error:
            response = error.response()
            status = error.code
        finally:
            _record(call, status)
        return response

    return endpoint


async def _answer(call: Call, handler: Handler) -> Response:
    if call.kind == "admin":
        return await handler(call)
    if call.kind != "upload_chunk":
        _limit_rate(call)
    fault = None if "redirected" in call.request.query_params else strike_call(call.store, call.kind)
    if fault is None:
        return await handler(call)
    return await CALL_FAULTS[fault.name](Struck(call, handler, fault.params))


def _limit_rate(call: Call) -> None:
    limit = read_settings(call.store).requests_per_s
    if limit is None:
        return
    second = int(clock.now(call.store))
    rows = call.store.rows(
        "INSERT INTO rate VALUES (?, ?, 1) ON CONFLICT (owner) DO UPDATE SET "
        "calls = CASE WHEN second = excluded.second THEN calls + 1 ELSE 1 END, second = excluded.second "
        "RETURNING calls",
        call.owner, second,
    )  # fmt: skip
    if rows[0]["calls"] > limit:
        retry: Object = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
        raise ApiError(429, f"Quota exceeded: {limit:g} requests per second.", details=[retry])


def _record(call: Call, status: int) -> None:
    if call.kind == "admin":
        return
    try:
        owner = call.owner
    except ApiError:
        owner = ""
    request = call.request
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    path = path.replace(call.query("key") or "\0", "KEY")
    with call.store.transaction():
        rows = call.store.rows(
            "INSERT INTO log (at, owner, kind, method, path, status) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            clock.now(call.store), owner, call.kind, request.method, path, status,
        )  # fmt: skip
        call.store.rows("DELETE FROM log WHERE id <= ?", rows[0]["id"] - LOGGED)
