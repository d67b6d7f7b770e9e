"""What Gemini refuses or breaks is told apart, says what was charged, and is never repeated blindly."""

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.genai import errors

from genai_batch.resources.errors import ProviderError
from genai_batch.server.emulator import create_app
from genai_batch.tools.lanes.gemini import Gemini, connect
from genai_batch.tools.lanes.window import Window
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}") for n in range(60)]


@asynccontextmanager
async def gemini(world: World) -> AsyncGenerator[Gemini]:
    """A connection to the world's emulator."""
    async with connect("offline", lambda: create_app(world.home / "emulator")) as connected:
        yield connected


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid."}, "key", "Check GEMINI_API_KEY"),
        ({"code": 401}, "key", "Check GEMINI_API_KEY"),
        ({"code": 403}, "permission", "another key"),
        ({"code": 404}, "missing", "another key or project"),
        ({"code": 400, "message": "Precondition failed."}, "invalid", "Precondition failed."),
        ({"code": 429, "retry_delay_s": 37}, "quota", "tier's limit"),
        ({"code": 500}, "outage", "Try again later"),
        ({"code": 503, "body": "<html>upstream</html>"}, "outage", "Try again later"),
        ({"code": 408}, "outage", "Try again later"),
    ],
)
async def test_each_refusal_has_its_reason(world: World, fault: dict[str, Any], reason: str, said: str) -> None:
    await world.arm("http_error", call="get", **fault)
    async with gemini(world) as connected:
        with pytest.raises(ProviderError) as caught:
            await connected.get("batches/" + "a" * 36)
    assert (caught.value.reason, said in str(caught.value), caught.value.sent) == (reason, True, False)
    assert "Nothing was charged" in str(caught.value)
    assert caught.value.retry_after_s == fault.get("retry_delay_s")


CALLS: dict[str, Callable[[Gemini, Path], Any]] = {
    "upload_start": lambda g, path: g.upload(partial(Window, path), "name"),
    "upload_chunk": lambda g, path: g.upload(partial(Window, path), "name"),
    "create": lambda g, _: g.create(MODEL, "name", [row("a")], embeds=False),
    "get": lambda g, _: g.get("batches/" + "a" * 36),
    "list": lambda g, _: g.find("name"),
    "cancel": lambda g, _: g.cancel("batches/" + "a" * 36),
    "download": lambda g, path: g.download("files/none", path),
}
BREAKS = ("drop_before", "drop_after", "not_json", "empty_body", "error_in_200", "http_error")


@pytest.mark.parametrize("fault", BREAKS)
@pytest.mark.parametrize("kind", CALLS)
async def test_whatever_breaks_comes_out_as_a_provider_error_or_not_at_all(
    world: World, tmp_path: Path, kind: str, fault: str
) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text('{"key":"a"}\n')
    await world.arm(fault, call=kind, times=None)
    async with gemini(world) as connected:
        if (kind, fault) in HARMLESS:
            await CALLS[kind](connected, path)
            return
        with pytest.raises(ProviderError) as caught:
            await CALLS[kind](connected, path)
    assert str(caught.value)
    assert caught.value.sent is (kind == "create"), "only a create can have been accepted without our knowing"


HARMLESS = {(kind, fault) for kind in ("cancel", "download") for fault in ("not_json", "empty_body", "error_in_200")}
"""Where nothing else can be seen: a cancel that was heard, a file of that content."""


def foreign_errors() -> list[type[Exception]]:
    """Every exception the SDK and its HTTP library define for callers."""
    modules = (errors, httpx2)
    found = {each for module in modules for _, each in inspect.getmembers(module, inspect.isclass)}
    found = {each for each in found if issubclass(each, Exception) and not issubclass(each, Warning)}
    return sorted((each for each in found if each.__module__.startswith(("google", "httpx2"))), key=str)


@pytest.mark.parametrize("kind", foreign_errors(), ids=lambda kind: kind.__name__)
async def test_no_exception_of_the_sdk_is_forgotten(kind: type[Exception]) -> None:
    from genai_batch.tools.lanes.gemini import _translated  # pyright: ignore[reportPrivateUsage] - the one place of translation

    made = kind.__new__(kind)
    Exception.__init__(made, "boom")
    for name in ("code", "status", "message", "details", "response"):
        if not hasattr(made, name):
            setattr(made, name, None)
    with pytest.raises(ProviderError):
        async with _translated():
            raise made


@pytest.mark.parametrize("fault", ["upload_error", "upload_no_status", "upload_cancelled"])
async def test_an_upload_that_fails_once_is_not_the_end(world: World, fault: str) -> None:
    await world.arm(fault)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
    assert len(await world.bill()) == 1


@pytest.mark.parametrize(
    "fault", [("drop_after", {}), ("http_error", {"code": 503}), ("not_json", {}), ("empty_body", {})]
)
async def test_a_create_of_unknown_outcome_is_looked_up_by_name_and_never_made_twice(
    world: World, fault: tuple[str, dict[str, Any]]
) -> None:
    await world.arm(fault[0], call="create", **fault[1])
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await world.advance(61)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
    assert len(await world.bill()) == 1


async def test_a_full_queue_is_waited_for_and_keeps_the_place(world: World) -> None:
    await world.arm("http_error", call="create", code=429, times=3)
    async with world.client() as client:
        job = await call(client, "create_batch", source=world.write("a.jsonl", ROWS), model=MODEL)
        assert (job["state"], "tier's limit" in job["notice"]) == ("JOB_STATE_QUEUED", True)
        assert (await finish(client, job["job_id"]))["counts"] == {"ok": 60}
    assert len(await world.bill()) == 1


async def test_a_key_that_is_refused_fails_the_job_at_once(world: World) -> None:
    await world.arm("http_error", call="create", code=401, message="Request had invalid authentication credentials.")
    source = world.write("a.jsonl", [row("a")])
    async with world.client() as client:
        assert "GEMINI_API_KEY" in await refusal(client, "create_batch", source=source, model=MODEL)
        assert (await finish(client, await start(client, source)))["counts"] == {"ok": 1}, (
            "the same file may be tried again"
        )


@pytest.mark.parametrize("fault", ["drop_before", "http_error", "not_json"])
async def test_while_gemini_cannot_be_asked_its_last_word_stands(world: World, fault: str) -> None:
    async with world.client() as client:
        await world.set(queue_s=1000)
        job_id = await start(client, world.write("a.jsonl", [row("a")]))
        await world.arm(fault, call="get", times=None)
        status = await call(client, "check_status", job_id=job_id)
        assert (status["state"], "Last known state" in status["notice"]) == ("JOB_STATE_PENDING", True)


async def test_another_key_does_not_see_the_job_and_is_told_so(world: World) -> None:
    async with connect("other key", lambda: create_app(world.home / "emulator")) as other:
        async with world.client() as client:
            await finish(client, await start(client, world.write("a.jsonl", [row("a")])))
        name = (await world.bill())[0]["name"]
        with pytest.raises(ProviderError, match="another key") as caught:
            await other.get(name)
        assert caught.value.reason == "missing"


@pytest.mark.parametrize("fault", ["download_drop", "short_body", "redirect", "http_error"])
async def test_a_download_that_breaks_is_made_again_and_only_a_whole_one_counts(world: World, fault: str) -> None:
    await world.arm(fault, call="download", **({"at_byte": 5_000} if fault in ("download_drop", "short_body") else {}))
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
