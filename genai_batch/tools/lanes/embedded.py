"""An HTTP transport that calls an ASGI app in this process, streaming both ways; no socket is opened."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2


class EmbeddedTransport(httpx2.AsyncBaseTransport):
    """Carries requests to `app`. Bodies pass through in pieces; a failing app looks like a dropped connection."""

    def __init__(self, app: Any) -> None:
        """Serve every request from `app`."""
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Run the app until it starts to answer; the rest of its answer is the response's stream."""
        call = _Call(request)
        task = asyncio.create_task(call.run(self._app))
        try:
            patience: float | None = request.extensions.get("timeout", {}).get("read")
            start = await asyncio.wait_for(call.messages.get(), patience)
        except TimeoutError as error:
            task.cancel()
            raise httpx2.ReadTimeout("no answer in time", request=request) from error
        except asyncio.CancelledError:
            task.cancel()
            raise
        if start is None:
            await task  # nothing was answered: raises
            raise httpx2.RemoteProtocolError("the app ended without an answer", request=request)
        headers = httpx2.Headers(start.get("headers", []))
        promised = int(headers.get("content-length", 0)) if request.method != "HEAD" else 0
        return httpx2.Response(start["status"], headers=headers, stream=_Body(call, task, promised))


class _Call:
    """One request on its way through the app."""

    def __init__(self, request: httpx2.Request) -> None:
        self.messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(maxsize=4)
        self._request = request
        self._body = aiter(request.stream) if isinstance(request.stream, httpx2.AsyncByteStream) else None
        self._sent = asyncio.Event()

    async def run(self, app: Any) -> None:
        """Call the app, and end the stream of messages however that goes."""
        try:
            await app(self._scope(), self._receive, self.messages.put)
        except ConnectionError as error:
            await self.messages.put(None)
            raise httpx2.RemoteProtocolError(str(error) or "connection dropped", request=self._request) from error
        except Exception:
            await self.messages.put(None)
            raise
        self._sent.set()
        await self.messages.put(None)

    def _scope(self) -> dict[str, Any]:
        url = self._request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self._request.method,
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port or 80),
            "client": ("127.0.0.1", 0),
            "root_path": "",
        }

    async def _receive(self) -> dict[str, Any]:
        if self._body is None:
            await self._sent.wait()
            return {"type": "http.disconnect"}
        try:
            return {"type": "http.request", "body": await anext(self._body), "more_body": True}
        except StopAsyncIteration:
            self._body = None
            return {"type": "http.request", "body": b"", "more_body": False}


class _Body(httpx2.AsyncByteStream):
    """The body of an answer, as the app sends it."""

    def __init__(self, call: _Call, task: asyncio.Task[None], promised: int) -> None:
        self._call, self._task, self._promised = call, task, promised

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._promised
        while (message := await self._call.messages.get()) is not None:
            if body := message.get("body", b""):
                left = left and left - len(body)
                yield body
        await self._task
        if left:
            raise httpx2.RemoteProtocolError(f"the connection ended {left} bytes early")

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
