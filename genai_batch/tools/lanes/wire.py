"""A batch as the wire tells it: int64 as strings, zeros left out, results in either of two places and two shapes."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx2

from genai_batch.resources.answers import short
from genai_batch.resources.untyped import as_list, as_object

_LIVES_S = 48 * 3600


class Batch(NamedTuple):
    """A provider-side batch on the wire.

    Counts are rows; `output` is a file name, `inline` the rows themselves; `created` is in seconds since 1970.
    """

    name: str
    model: str
    display_name: str
    state: str
    requests: int
    done: int
    output: str | None
    inline: list[Any] | None
    error: str | None
    created: float | None

    @property
    def has_output(self) -> bool:
        """Whether there is anything to collect."""
        return self.output is not None or self.inline is not None

    def without_output(self, why: str) -> "Batch":
        """The same batch with its rows given up."""
        return self._replace(output=None, inline=None, error=why)


class Stored(NamedTuple):
    """A file of the Files API on the wire; `lives_s` is from its making to its end."""

    name: str
    uri: str
    state: str
    lives_s: float
    error: str | None


class Endpoint(NamedTuple):
    """Where the SDK would post to, with which headers, and its connection, which is no network where `is_offline`."""

    url: str
    headers: Mapping[str, str]
    http: httpx2.AsyncClient | None = None
    is_offline: bool = False


def seconds_in(text: str) -> float | None:
    """Read a time to wait: seconds, a duration of protobuf JSON (`37s`), or the day and hour (RFC 9110 §10.2.3)."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)s?", text):
        return float(found[1])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def batch_of(operation: dict[str, Any], name: str) -> Batch:
    """Read an operation as the API answers it; `name` is what was asked for."""
    about = as_object(operation.get("metadata"))
    stats = as_object(about.get("batchStats"))
    output = as_object(about.get("output")) | as_object(operation.get("response"))
    failed = as_object(operation.get("error"))
    return Batch(
        name=str(operation.get("name") or name),
        model=short(str(about.get("model", "")).removeprefix("models/"), 100),
        display_name=short(str(about.get("displayName", "")), 100),
        state=short(str(about.get("state") or "BATCH_STATE_UNSPECIFIED"), 60),
        requests=_int(stats.get("requestCount")),
        done=_int(stats.get("successfulRequestCount")) + _int(stats.get("failedRequestCount")),
        output=output.get("responsesFile"),
        inline=_inline(output),
        error=short(f"{failed.get('message', 'no reason given')} (code {failed.get('code')})", 300) if failed else None,
        created=_time(about.get("createTime")),
    )


def stored_of(file: dict[str, Any]) -> Stored:
    """Read a file as the API answers it; one that says nothing of its state can be used, and of its end lives 48 h."""
    began, ends = _time(file.get("createTime")), _time(file.get("expirationTime"))
    why = as_object(file.get("error")).get("message")
    return Stored(
        name=str(file.get("name") or ""),
        uri=str(file.get("uri") or ""),
        state=str(file.get("state") or "ACTIVE"),
        lives_s=max(0.0, ends - began) if began and ends else _LIVES_S,
        error=short(str(why), 200) if why else None,
    )


def _inline(output: dict[str, Any]) -> list[Any] | None:
    for name in ("inlinedResponses", "inlinedEmbedContentResponses"):
        if name in output:
            return as_list(as_object(output[name]).get("inlinedResponses"))
    return None


def _int(value: Any) -> int:
    """Read an int64, which the wire writes as a string and leaves out when zero."""
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else 0


def _time(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None
