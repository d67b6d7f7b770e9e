"""One POST of raw REST bytes: over the network by a session of our own, offline through the SDK's own connection."""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from genai_batch.resources.redaction import redact
from genai_batch.tools.lanes.refusals import Refusal, certificate_problem
from genai_batch.tools.lanes.wire import Endpoint

_PATIENCE = "X-Server-Timeout"


class Reply(NamedTuple):
    """What came back, byte for byte, with some of its headers; `tier` is the one at which it was served.

    `refusal` says what it means where that is known already.
    """

    status: int
    body: bytes
    retry_after: str = ""
    content_type: str = ""
    tier: str = ""
    refusal: Refusal | None = None


class NoReply(Exception):
    """Nothing came back: the connection failed, or it took too long.

    Where `is_lasting` no other call will fare better. `was_sent` is False where it is certain that the request has not
    reached anybody, so that it cannot be billed.
    """

    def __init__(self, said: str, *, late: bool = False, is_lasting: bool = False, was_sent: bool = True) -> None:
        """Say why."""
        super().__init__(said)
        self.late, self.is_lasting, self.was_sent = late, is_lasting, was_sent


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
    proxy = None if endpoint.is_offline else _proxy(endpoint.url)
    if endpoint.http and (endpoint.is_offline or (proxy or "").lower().startswith("socks")):
        yield _through(endpoint, endpoint.http)  # aiohttp speaks no SOCKS
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
        yield _over(session, endpoint, proxy)


def _over(session: Any, endpoint: Endpoint, proxy: str | None) -> Caller:
    import aiohttp
    from yarl import URL

    target = URL(endpoint.url, encoded=True)

    async def call(body: bytes, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                own = _patience(endpoint, seconds)
                async with session.post(target, data=body, proxy=proxy, headers=own) as reply:
                    return _reply(reply.status, await reply.read(), reply.headers)
        except TimeoutError:
            raise NoReply(f"no answer within {seconds:.0f} s", late=True) from None
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            raise _failed(error, was_sent=False) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(error) from error

    return call


def _through(endpoint: Endpoint, http: httpx2.AsyncClient) -> Caller:
    async def call(body: bytes, seconds: float) -> Reply:
        try:
            headers = {**endpoint.headers, **_patience(endpoint, seconds)}
            reply = await http.post(endpoint.url, content=body, headers=headers, timeout=seconds)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _failed(error, was_sent=False) from error
        except httpx2.TimeoutException:
            raise NoReply(f"no answer within {seconds:.0f} s", late=True) from None
        except httpx2.HTTPError as error:
            raise _failed(error) from error
        return _reply(reply.status_code, reply.content, reply.headers)

    return call


def _reply(status: int, body: bytes, headers: Mapping[str, str]) -> Reply:
    waits, kind, tier = (headers.get(name, "") for name in ("retry-after", "content-type", "x-gemini-service-tier"))
    return Reply(status, body, waits, kind, tier)


def _patience(endpoint: Endpoint, seconds: float) -> dict[str, str]:
    """The header by which Gemini tries for as long as we wait: an answer that comes later would be billed in vain."""
    patience = f"{math.floor(seconds)}"
    return {} if endpoint.headers.get(_PATIENCE) == patience else {_PATIENCE: patience}


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address: asked once, for asking takes two threads a call."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _failed(error: Exception, *, was_sent: bool = True) -> NoReply:
    if problem := certificate_problem(error):
        return NoReply(problem, is_lasting=True, was_sent=False)
    return NoReply(redact(f"{type(error).__name__} {error}".strip())[:300], was_sent=was_sent)
