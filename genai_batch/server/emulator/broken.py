"""Calls that go wrong: how each fault of the stage `call` is carried out."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import quote, quote_plus

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .call import Call, Handler
from .dropped import BodyCutShort, ConnectionDropped, gone
from .wire import FIRST_PAGE, HELP, ApiError, Object, as_list, reply


@dataclass(frozen=True)
class Struck:
    """A call, the handler that would have answered it, and the fault's parameters."""

    call: Call
    handler: Handler
    params: Object

    async def answer(self) -> Response:
        """What the call would have got."""
        return await self.handler(self.call)


CallFault: TypeAlias = Callable[[Struck], Awaitable[Response]]

MESSAGES = {
    400: "Request contains an invalid argument.",
    403: "The caller does not have permission.",
    404: "Requested entity was not found.",
    408: "The request timed out.",
    429: "You exceeded your current quota, please check your plan and billing details.",
    500: "An internal error has occurred. Please retry.",
    503: "The model is overloaded. Please try again later.",
}


async def http_error(struck: Struck) -> Response:
    """An error reply; `body` replaces the JSON when given."""
    code = int(struck.params["code"])
    echo = _echo(struck.call.request) if struck.params.get("echo") else ""
    if struck.params.get("body") is not None:
        return Response(f"{struck.params['body']}{echo}", code, media_type=str(struck.params["content_type"]))
    message = struck.params.get("message") or MESSAGES.get(code, "The emulator was told to refuse.")
    message = f"{message}{echo}"
    raise ApiError(code, str(message), status=struck.params.get("status"), details=_details(code, struck.params))


def _echo(request: Request) -> str:
    """The key of a request as servers and libraries quote it: plain, as Python, JSON, URL and base64."""
    key = request.headers.get("x-goog-api-key", "")
    basic = b64encode(f"user:{key}".encode()).decode()
    forms = [key, repr(dict(request.headers)), repr(request.headers.raw), quote(key, safe=""), quote_plus(key)]
    forms += [quote(key, safe="").lower(), msgspec.json.encode(key).decode(), f"Basic {basic}"]
    forms += [b64encode(key.encode()).decode(), urlsafe_b64encode(f"ab{key}".encode()).decode().rstrip("=")]
    return f" Headers were {' | '.join(forms)}"


def _details(code: int, params: Object) -> list[Object]:
    details: list[Object] = as_list(params.get("details")).copy()
    if params.get("quota_id"):
        metric = "generativelanguage.googleapis.com/requests"
        violation: Object = {"quotaMetric": metric, "quotaId": params["quota_id"]}
        if params.get("quota_value") is not None:
            violation["quotaValue"] = params["quota_value"]
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    if code == 429 and params.get("help", True):
        details.append(HELP)
    if params.get("retry_delay_s") is not None:
        delay = f"{params['retry_delay_s']:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return details


async def drop_before(_: Struck) -> Response:
    """The request never arrives."""
    raise ConnectionDropped("the emulator dropped the connection before the request was accepted")


async def drop_after(struck: Struck) -> Response:
    """The request is carried out and its reply never arrives."""
    await struck.answer()
    raise ConnectionDropped("the emulator dropped the connection after the request was accepted")


async def slow(struck: Struck) -> Response:
    """The reply is late."""
    await anyio.sleep(float(struck.params["delay_s"]))
    return await struck.answer()


async def hang(struck: Struck) -> Response:
    """There is no reply."""
    await gone(struck.call.request.receive)
    raise ConnectionDropped("the client gave up waiting")


async def error_in_200(struck: Struck) -> Response:
    """An error that says it is none."""
    code = int(struck.params["code"])
    return reply(ApiError(code, MESSAGES.get(code, "The emulator was told to refuse.")).body())


async def not_json(_: Struck) -> Response:
    """A page for people."""
    return Response("<html><body>502 bad gateway, in a 200</body></html>", media_type="text/html")


async def empty_body(_: Struck) -> Response:
    """Nothing."""
    return Response(b"", media_type="application/json")


async def upload_no_status(struck: Struck) -> Response:
    """A chunk that may or may not have arrived; it has not."""
    await struck.call.request.body()
    return reply({})


async def upload_error(struck: Struck) -> Response:
    """A refusal inside a success, which the SDK meets as `KeyError: 'file'`."""
    await struck.call.request.body()
    return reply(ApiError(400, str(struck.params["message"])).body(), headers={"X-Goog-Upload-Status": "final"})


async def upload_cancelled(struck: Struck) -> Response:
    """The server gives up on the upload."""
    await struck.call.request.body()
    return reply({}, headers={"X-Goog-Upload-Status": "cancelled"})


async def download_drop(struck: Struck) -> Response:
    """The body breaks off with its connection."""
    return _cut(await struck.answer(), int(struck.params["at_byte"]), ConnectionDropped("the download broke off"))


async def short_body(struck: Struck) -> Response:
    """The body ends early."""
    return _cut(await struck.answer(), int(struck.params["at_byte"]), BodyCutShort("the download ended early"))


def _cut(response: Response, at_byte: int, drop: ConnectionDropped) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        left = at_byte
        async for piece in _body(response):
            yield piece[:left]
            left -= len(piece)
            if left < 0:
                raise drop

    return StreamingResponse(pieces(), response.status_code, dict(response.headers))


async def no_ranges(struck: Struck) -> Response:
    """The whole file, whatever part was asked for."""
    request = struck.call.request
    headers = [each for each in request.scope["headers"] if each[0] != b"range"]
    asked = Request({**request.scope, "headers": headers}, request.receive)
    return await struck.handler(replace(struck.call, request=asked))


async def slow_download(struck: Struck) -> Response:
    """The body drips."""
    response = await struck.answer()
    size, delay = int(struck.params["piece_bytes"]), float(struck.params["delay_s"])

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in _body(response):
            for start in range(0, len(piece), size):
                await anyio.sleep(delay)
                yield piece[start : start + size]

    return StreamingResponse(pieces(), response.status_code, dict(response.headers))


async def _body(response: Response) -> AsyncIterator[bytes]:
    if not isinstance(response, StreamingResponse):
        yield bytes(response.body)
        return
    async for piece in response.body_iterator:
        yield piece.encode() if isinstance(piece, str) else bytes(piece)


async def redirect(struck: Struck) -> Response:
    """The bytes are elsewhere, on the same host."""
    query = struck.call.request.url.query
    location = f"{struck.call.origin}{struck.call.request.url.path}?{query}&redirected=1"
    return Response(b"", 302, headers={"Location": location})


async def list_duplicate_page(struck: Struck) -> Response:
    """A page whose next page is itself."""
    response = await struck.answer()
    body: Object = msgspec.json.decode(bytes(response.body))
    token = struck.call.query("pageToken", "page_token")
    return reply(body | {"nextPageToken": token or FIRST_PAGE})


CALL_FAULTS: dict[str, CallFault] = {
    fault.__name__: fault
    for fault in (
        http_error, drop_before, drop_after, slow, hang, error_in_200, not_json, empty_body, upload_no_status,
        upload_error, upload_cancelled, download_drop, short_body, no_ranges, slow_download, redirect,
        list_duplicate_page,
    )
}  # fmt: skip
