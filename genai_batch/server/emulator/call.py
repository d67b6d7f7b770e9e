"""One HTTP call as a handler sees it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from .store import Store
from .wire import ApiError, Object, parse_object


@dataclass(frozen=True)
class Call:
    """A request, the state it is answered from, and which kind of call it is."""

    store: Store
    request: Request
    kind: str

    @cached_property
    def owner(self) -> str:
        """Fingerprint of the API key, or of the bearer token; files and batches are visible to their owner only."""
        headers = self.request.headers
        key = headers.get("x-goog-api-key") or self.request.query_params.get("key") or headers.get("authorization", "")
        if not key:
            raise ApiError(
                403,
                "Method doesn't allow unregistered callers (callers without established identity). "
                "Please use API Key or other form of API consumer identity to call this API.",
            )
        return fingerprint(key)

    @property
    def version(self) -> str:
        """The API version in the path."""
        return str(self.request.path_params.get("version", "v1beta"))

    @property
    def origin(self) -> str:
        """Scheme and host as the client spelled them, for links back."""
        url = self.request.url
        return f"{url.scheme}://{self.request.headers.get('host') or url.netloc}"

    def path(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params[name])

    def query(self, *names: str) -> str:
        """The first of the query parameters that is given."""
        return next((self.request.query_params[name] for name in names if name in self.request.query_params), "")

    def page_size(self, default: int, most: int) -> int:
        """`pageSize`, within bounds."""
        asked = self.query("pageSize", "page_size")
        return min(int(asked), most) if asked.isdigit() and int(asked) else default

    async def json(self) -> Object:
        """The JSON body."""
        return parse_object(await self.request.body())


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


def fingerprint(key: str) -> str:
    """A key's name in the state folder; the key itself is never stored."""
    return sha256(key.encode()).hexdigest()[:16]
