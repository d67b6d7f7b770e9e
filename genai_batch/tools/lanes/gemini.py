"""The one module that knows google-genai: the calls of the batch lane, and what its failures mean.

The SDK carries every call. Status and lists are read as raw JSON, because its `BatchJob` drops the operation's error
and `batchStats` and refuses a whole reply over one odd row. Its own retries are off: repeating a create would pay
twice.
"""

import hashlib
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from io import RawIOBase
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio import to_thread

from genai_batch.resources import redaction
from genai_batch.resources.answers import brief
from genai_batch.resources.errors import ProviderError
from genai_batch.resources.untyped import as_list, as_object, is_object
from genai_batch.tools.lanes.aside import aside
from genai_batch.tools.lanes.downloading import Download
from genai_batch.tools.lanes.embedded import EmbeddedTransport
from genai_batch.tools.lanes.refusals import Call, certificate_problem, classify, page_title, reason_of
from genai_batch.tools.lanes.retrying import again
from genai_batch.tools.lanes.wire import Batch, Endpoint, Stored, batch_of, stored_of

log = logging.getLogger("genai_batch")
TIMEOUT_S = 120
CREATE_S = 30
"""A create whose outcome is not known by then is looked up instead."""
OFFLINE_URL = "http://emulator.invalid"
_UPLOAD_TYPES = ("application/jsonl", "application/json", "text/plain")
_NAME = re.compile(r"batches/[A-Za-z0-9_-]+")
_LIST_PAGE = 100
_LIST_PAGES = 100
_STILL: ContextVar[Callable[[], bool]] = ContextVar("still")
"""Of the create under way: whether it may still be sent."""


class Gemini:
    """Calls to the Gemini API. Every failure comes out as a `ProviderError`."""

    def __init__(self, api_key: str, offline: Callable[[], object] | None) -> None:
        """Use `connect`."""
        self.account = fingerprint(api_key)
        self._api_key, self._offline = api_key, offline
        self._http: httpx2.AsyncClient | None = None
        self._loading = anyio.Lock()
        self._sdk: Any = None

    async def close(self) -> None:
        """Close the connection."""
        if self._http:
            await self._http.aclose()

    async def load(self) -> None:
        """Load the SDK now, so that the next call leaves at once."""
        await self._client()

    async def endpoint(self, path: str, seconds: int) -> Endpoint:
        """Where and how the SDK would post to a path and wait so long, for a client that sends raw bytes there."""
        client = await self._client()
        request = client._api_client._build_request("post", path, {}, {"timeout": 1000 * seconds})  # noqa: SLF001 - the public call costs five times the time
        return Endpoint(request.url, request.headers, self._http, is_offline=self._offline is not None)

    async def upload(self, opened: Callable[[], RawIOBase], display_name: str) -> str:
        """Upload JSONL, which `opened` opens, in pieces and return its name, `files/…`; it lives 48 h."""
        for last, mime in ((mime == _UPLOAD_TYPES[-1], mime) for mime in _UPLOAD_TYPES):
            try:
                return (await again(partial(self._upload, opened, display_name, mime))).name
            except ProviderError as error:
                if last or error.reason != "invalid":
                    raise
        raise AssertionError("unreachable")

    async def upload_file(self, opened: Callable[[], RawIOBase], mime_type: str, display_name: str) -> Stored:
        """Upload what `opened` opens, as a file that requests can name by its URI; what it raises ends the upload."""
        return await again(partial(self._upload, opened, display_name, mime_type))

    async def file(self, name: str) -> Stored:
        """Read how a file stands."""
        return stored_of(await again(partial(self._json, name)))

    async def create(
        self, model: str, display_name: str, source: str | list[dict[str, Any]], *, embeds: bool,
        still: Callable[[], bool] = lambda: True,
    ) -> Batch:  # fmt: skip
        """Start a batch over an uploaded file (by name) or over rows `{key, request}` sent inline.

        It is not idempotent: when the outcome is not known, `sent` of the error is True and only `find` can tell.
        `still` is asked last before the first byte leaves, with the connection open, whether it may.
        """
        if isinstance(source, str):
            given: dict[str, Any] = {"fileName": source}
        else:
            rows = [{"request": row["request"], "metadata": {"key": row["key"]}} for row in source]
            given = {"requests": {"requests": rows}}
        verb = "asyncBatchEmbedContent" if embeds else "batchGenerateContent"
        body = {"batch": {"displayName": display_name, "inputConfig": given}}
        mark = _STILL.set(still)
        try:
            made = batch_of(await self._json(f"models/{model}:{verb}", body), "")
        finally:
            _STILL.reset(mark)
        if not _NAME.fullmatch(made.name):
            raise ProviderError(f"Gemini accepted the batch but named none. {_CREATING}", reason="answer", sent=True)
        return made

    async def get(self, name: str) -> Batch:
        """Read a batch as it is now."""
        if not _NAME.fullmatch(name):
            raise ProviderError(f"{name!r} is not the name of a batch (batches/…).", reason="invalid")
        return batch_of(await again(partial(self._json, name)), name)

    async def find(self, display_name: str) -> Batch | None:
        """Look through the provider's list for a batch of our display name."""
        async for operation in self._list():
            batch = batch_of(operation, str(operation.get("name", "")))
            if batch.display_name == display_name:
                return batch
        return None

    async def confirmed(self, error: ProviderError) -> ProviderError:
        """Look whether an HTML page comes again: then it is the network that answers, whatever is asked.

        One that came by chance is a call that may be made again.
        """
        if isinstance(error, PageCame):
            try:
                await self._json("batches?pageSize=1")
            except PageCame:
                return ProviderError(str(error), reason="key", sent=error.sent)
            except ProviderError as other:
                log.info("%s", other)
        return error

    async def cancel(self, name: str) -> None:
        """Ask for a batch to be stopped; rows it has finished may still be charged."""
        await again(partial(self._cancel, name))

    async def download(self, name: str, path: Path, *, whole: bool = True) -> int:
        """Stream a result file to `path`, which holds all of it or the call fails; return how many lines it has.

        After a failure it goes on with what has come. `whole` holds it against the size that the provider states.
        """
        download = Download(path, await self._about(name) if whole else {})
        await again(partial(self._download, name, download))
        return download.lines

    async def _client(self) -> Any:
        """The SDK's async client. Importing the SDK takes a second, so it happens at the first call and in a thread."""
        async with self._loading:
            if self._sdk is None:
                try:
                    self._sdk = await to_thread.run_sync(self._load)
                except (OSError, ValueError, ImportError) as error:  # certificates, an address, a proxy
                    raise ProviderError(_unready(error), reason="key") from error
        return self._sdk.aio

    def _load(self) -> Any:
        from google import genai
        from google.genai import types

        transport = EmbeddedTransport(self._offline()) if self._offline else None
        hooks = {"request": [_only_if_still], "response": [_no_page]}
        self._http = httpx2.AsyncClient(
            transport=transport, timeout=TIMEOUT_S, follow_redirects=True, event_hooks=hooks
        )
        options = types.HttpOptions(
            base_url=OFFLINE_URL if self._offline else None,
            timeout=TIMEOUT_S * 1000,
            httpx_async_client=self._http,
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        return genai.Client(api_key=self._api_key, http_options=options, vertexai=False)

    async def _upload(self, opened: Callable[[], RawIOBase], display_name: str, mime: str) -> Stored:
        client = await self._client()
        async with _translated():
            with await aside(
                opened, f"the file of {display_name}"
            ) as file:  # no path: its name, perhaps not ASCII, would go into a header
                config = {"mime_type": mime, "display_name": display_name}
                made = await client.files.upload(file=file, config=config)
        if not made.name:
            raise ProviderError("Gemini took the file but named none; nothing was charged.", reason="answer")
        return stored_of(made.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def _cancel(self, name: str) -> None:
        client = await self._client()
        async with _translated():
            await client.batches.cancel(name=name)

    async def _about(self, name: str) -> dict[str, Any]:
        """What is said of a file; nothing where it cannot be asked, for the file itself may be had all the same."""
        try:
            return await self._json(name)
        except ProviderError:
            return {}

    async def _download(self, name: str, download: Download) -> None:
        from google.genai import errors

        client = await self._client()
        refuse: Any = getattr(errors.APIError, "raise_for_async_response")  # noqa: B009 - half typed there
        async with _translated(charge=_ANSWERED):
            path = f"files/{name.removeprefix('files/')}:download?alt=media"
            request = client._api_client._build_request("get", path, {})  # noqa: SLF001 - the public call knows no ranges
            http: httpx2.AsyncClient = client._api_client._async_httpx_client  # noqa: SLF001 - ours, as given to it
            await download.fetch(http, request.url, request.headers, refuse)

    async def _list(self) -> AsyncIterator[dict[str, Any]]:
        token = ""
        for _ in range(_LIST_PAGES):
            path = f"batches?pageSize={_LIST_PAGE}" + (f"&pageToken={token}" if token else "")
            page = await again(partial(self._json, path))
            for operation in as_list(page.get("operations")):
                yield as_object(operation)
            if not (token := str(page.get("nextPageToken") or "")):
                return
        raise ProviderError(f"Gemini lists more than {_LIST_PAGES * _LIST_PAGE:,} batches.", reason="answer")

    async def _json(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Get, or with a body create, as raw JSON through the SDK's own connection."""
        client, verb, creating = await self._client(), "post" if body else "get", body is not None
        async with _translated("create" if creating else "other"):
            limit = {"timeout": int(1000 * min(CREATE_S, TIMEOUT_S))} if creating else None
            reply = await client._api_client.async_request(verb, path, body or {}, limit)  # noqa: SLF001 - public calls drop fields
            content, kind = str(reply.body), str(as_object(reply.headers).get("content-type", ""))
            if (title := page_title(content, kind)) is not None:
                raise _no_answer(title, creating=creating)
            value = json.loads(content)
        if not is_object(value) or ("error" in value and "name" not in value):
            said = f"Gemini answered {path} with something else: {brief(str(reply.body), 200)}. "
            raise ProviderError(said + (_CREATING if creating else ""), reason="answer", sent=creating)
        return value


@asynccontextmanager
async def connect(api_key: str, offline: Callable[[], object] | None = None) -> AsyncGenerator[Gemini]:
    """Be ready to call Gemini, or the ASGI app that `offline` builds and that looks like it.

    Nothing is loaded before the first call.
    """
    if offline is None:
        redaction.protect(api_key)
    gemini = Gemini(api_key, offline)
    try:
        yield gemini
    finally:
        await gemini.close()


def _unready(error: Exception) -> str:
    """Say that the settings of the connection cannot be used."""
    where = "Check SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY, ALL_PROXY and GOOGLE_GEMINI_BASE_URL."
    return f"The connection to Gemini cannot be made ready: {_words(error)}. {where} Nothing was sent."


def fingerprint(api_key: str) -> str:
    """A short name of an API key that does not give it away; jobs are visible only to the key that made them."""
    return hashlib.sha256(b"genai-batch " + api_key.encode()).hexdigest()[:12]


_CREATING = "Whether the batch was created is not known yet; it is looked up by name before anything is sent again."
_UNCHARGED = "Nothing was charged."
_ANSWERED = "The batch is done and its answers are charged; Gemini keeps their file for 48 h."
"""What is said of a result file that cannot be had."""


async def _no_page(response: httpx2.Response) -> None:
    """Refuse an HTML page in an upload, which the SDK would take for a file that is not wanted."""
    if response.status_code == 200 and "/upload/" in response.url.path:
        kind = response.headers.get("content-type", "")
        if "text/html" in kind.lower():
            await response.aread()
            raise _no_answer(page_title(response.text, kind) or "", creating=False)


async def _only_if_still(request: httpx2.Request) -> None:
    """Let a create leave only if it still may: asked now, and again when the connection stands."""
    if (still := _STILL.get(None)) is None:
        return

    async def ask(event: str, _about: object = None) -> None:
        if event.endswith("send_request_headers.started") and not still():
            said = "This process was held up before the batch was sent; it is tried again. Nothing was charged."
            raise ProviderError(said, reason="outage")

    await ask("send_request_headers.started")
    request.extensions = {**request.extensions, "trace": ask}


@asynccontextmanager
async def _translated(call: Call = "other", charge: str = _UNCHARGED) -> AsyncGenerator[None]:
    """Turn whatever the SDK raises into a `ProviderError` that says what was charged."""
    from google.genai import errors

    creating = call == "create"
    try:
        yield
    except errors.APIError as error:
        raise _refusal(error, call, charge) from error
    except httpx2.TransportError as error:
        unsent = isinstance(
            error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.UnsupportedProtocol
        )
        if problem := certificate_problem(error):
            raise ProviderError(f"{problem} Nothing was sent.", reason="key") from error
        said = "Nothing was sent." if unsent else _CREATING if creating else charge
        raise ProviderError(
            f"Gemini could not be reached: {_words(error)}. {said}", reason="outage", sent=creating and not unsent
        ) from error
    except KeyError as error:  # the SDK's way of saying that an upload was refused inside a 200
        text = f"Gemini did not take the file: {_words(error)}. {_UNCHARGED}"
        raise ProviderError(text, reason="invalid", sent=creating) from error
    except (*_UNREADABLE, errors.ContinuationInterruptedError) as error:
        said = _CREATING if creating else charge
        raise ProviderError(
            f"Gemini's answer could not be read: {_words(error)}. {said}", reason="answer", sent=creating
        ) from error


_UNREADABLE = (ValueError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict)


def _refusal(error: Any, call: Call, charge: str) -> ProviderError:
    """Say what a refusal is, after the table that all lanes share."""
    code, details = int(error.code or 0), as_object(error.details)
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    about = as_object(details.get("error")) or details
    title = page_title(str(about.get("message", "")), str(headers.get("content-type", "")))
    waits = str(headers.get("retry-after", ""))
    refusal = classify(code, about, call=call, title=title, retry_after=waits)
    creating = call == "create"
    unknown = creating and (code >= 500 or code in (0, 408) or code < 400) and refusal.kind == "passing"
    text = f"{refusal.text} {_CREATING if unknown else charge}".strip()
    wait_s = refusal.wait_s if refusal.kind != "day" else None
    return ProviderError(text, reason=reason_of(refusal, code), sent=unknown, retry_after_s=wait_s)


class PageCame(ProviderError):
    """An HTML page came where an answer was to come."""


def _no_answer(title: str, *, creating: bool) -> PageCame:
    """Say what came instead of an answer; after a create the list of batches decides what became of it."""
    refusal = classify(200, {}, call="other", title=title)
    return PageCame(f"{refusal.text} {_CREATING if creating else _UNCHARGED}", reason="answer", sent=creating)


def _words(error: Exception) -> str:
    return redaction.redact(f"{type(error).__name__} {error}".strip())[:300]
