"""The JSON shapes every reply shares: errors, timestamps, objects."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import msgspec
from starlette.responses import Response

Object: TypeAlias = dict[str, Any]

STATUS_OF_CODE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
JSON_HEADERS = {"Content-Type": "application/json; charset=UTF-8"}
FIRST_PAGE = "first"
HELP = {
    "@type": "type.googleapis.com/google.rpc.Help",
    "links": [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ],
}


class ApiError(Exception):
    """A refusal, in the shape Google's front end gives it."""

    def __init__(self, code: int, message: str, *, status: str | None = None, details: list[Object] | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS_OF_CODE.get(code, "UNKNOWN")
        self.details = details or []

    def body(self) -> Object:
        """The error object a client parses."""
        error: Object = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": error | ({"details": self.details} if self.details else {})}

    def response(self) -> Response:
        """The HTTP reply."""
        return reply(self.body(), self.code)


def reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply; 200 unless it is an error, since the SDK takes any other 2xx for a failure."""
    return Response(msgspec.json.encode(body), status, headers=JSON_HEADERS | (headers or {}))


def parse_object(body: bytes) -> Object:
    """A request's JSON body; an absent one is an empty message, as in protobuf."""
    if not body.strip():
        return {}
    try:
        value: Any = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ApiError(400, f"Invalid JSON payload received. {error}") from None
    if not isinstance(value, dict):
        raise ApiError(400, "Invalid JSON payload received. Root element must be a message.")
    return cast("Object", value)


def as_object(value: Any) -> Object:
    """The value if it is a JSON object, else an empty one."""
    return cast("Object", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def either(message: Object, camel: str, snake: str, default: Any = None) -> Any:
    """A field that arrives in camelCase or snake_case, never both."""
    if camel in message and snake in message:
        raise ApiError(400, f"Invalid JSON payload received. Duplicate field: '{snake}'.")
    return message.get(camel, message.get(snake, default))


def canonical(value: Any) -> bytes:
    """One spelling of a JSON value, whatever the order of its members."""
    return msgspec.json.encode(value, order="sorted")


def timestamp(seconds: float) -> str:
    """RFC 3339 with nine digits, as Google writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def page_token(after: int) -> str:
    """An opaque page token."""
    return urlsafe_b64encode(f"after:{after}".encode()).decode()


def read_page_token(token: str) -> int | None:
    """Where a page begins; None for the first."""
    if token in ("", FIRST_PAGE):
        return None
    try:
        return int(urlsafe_b64decode(token.encode()).decode().removeprefix("after:"))
    except ValueError:
        raise ApiError(400, "The page token is invalid.") from None
