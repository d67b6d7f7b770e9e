"""One POST of raw REST bytes: over the network by a session of our own, offline through the SDK's own connection."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from genai_batch.tools.lanes.wire import Endpoint


class Reply(NamedTuple):
    """What came back, byte for byte; `retry_after` is the header."""

    status: int
    body: bytes
    retry_after: str = ""


class NoReply(Exception):
    """Nothing came back: the connection failed, or it took too long."""

    def __init__(self, said: str, *, late: bool = False) -> None:
        """Say why."""
        super().__init__(said)
        self.late = late


class Caller(Protocol):
    """Sends a request and returns what came back.

    Raises:
        NoReply: nothing did.
    """

    async def __call__(self, body: bytes, seconds: float) -> Reply:
        """Post a body and wait so long for what comes back."""
        ...


@asynccontextmanager
async def calling(endpoint: Endpoint) -> AsyncGenerator[Caller]:
    """Be ready to post to an endpoint."""
    if endpoint.offline:
        yield _through(endpoint, endpoint.offline)
        return
    import aiohttp  # late: it takes longer to import than most commands run

    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        headers=endpoint.headers,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield _over(session, endpoint.url, _proxy(endpoint.url))


def _over(session: Any, url: str, proxy: str | None) -> Caller:
    import aiohttp
    from yarl import URL

    target = URL(url, encoded=True)

    async def call(body: bytes, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                async with session.post(target, data=body, proxy=proxy) as reply:
                    return Reply(reply.status, await reply.read(), reply.headers.get("retry-after", ""))
        except TimeoutError:
            raise NoReply(f"no answer within {seconds:.0f} s", late=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReply(_words(error)) from error

    return call


def _through(endpoint: Endpoint, http: httpx2.AsyncClient) -> Caller:
    async def call(body: bytes, seconds: float) -> Reply:
        try:
            reply = await http.post(endpoint.url, content=body, headers=endpoint.headers, timeout=seconds)
        except httpx2.TimeoutException:
            raise NoReply(f"no answer within {seconds:.0f} s", late=True) from None
        except httpx2.HTTPError as error:
            raise NoReply(_words(error)) from error
        return Reply(reply.status_code, reply.content, reply.headers.get("retry-after", ""))

    return call


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address: asked once, for asking takes two threads a call."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    known = getproxies()
    return known.get(parts.scheme) or known.get("all")


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()[:300]
