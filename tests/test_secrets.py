"""No API key comes back: not in a byte of what commands and tools say, log, store or write, in any form.

Twelve values that cannot be keys are refused before anything is sent; with a good key Gemini quotes the headers of each
request in its errors, in every form that servers and libraries use.
"""

import base64
import json
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from urllib.request import Request, urlopen

import pytest
import typer
from anyio import to_thread
from mcp import Client
from typer.testing import CliRunner

from genai_batch.resources import redaction
from genai_batch.resources.errors import BatchError, ProviderError
from genai_batch.resources.redaction import MARK, redact
from genai_batch.server.app import build_server
from genai_batch.server.cli import app
from genai_batch.server.settings import Settings
from tests.world import MODEL, World, row, text_of

pytestmark = pytest.mark.anyio
KEY = "AIzaSyD-9f8e7d6c5b4a3928170605_xYzWvUtSr"
UNUSABLE = {
    "line break": f"{KEY[:20]}\n{KEY[20:]}",
    "carriage return": f"{KEY[:20]}\r{KEY[20:]}",
    "two lines": f"{KEY}\n{KEY[::-1]}",
    "blank": f"{KEY[:20]} {KEY[20:]}",
    "tab": f"{KEY[:20]}\t{KEY[20:]}",
    "ellipsis": f"{KEY[:20]}…",
    "dots": f"{KEY[:20]}...",
    "quotes": f'"{KEY}"',
    "typographic quotes": f"“{KEY}”",
    "own name": f"GEMINI_API_KEY={KEY}",
    "control character": f"{KEY[:20]}\x01{KEY[20:]}",
    "not ascii": f"{KEY[:20]}é{KEY[20:]}",
}
COMMANDS: dict[str, list[str]] = {
    "estimate": ["a.jsonl", "--model", MODEL],
    "create": ["a.jsonl", "--model", MODEL],
    "build": ["table.csv", "--prompt", "Say {{ n }}", "--output", "built.jsonl"],
    "run": ["a.jsonl", "--model", MODEL, "--lane", "live"],
    "status": ["JOB"],
    "results": ["JOB"],
    "report": ["JOB"],
    "list": [],
    "cancel": ["JOB"],
    "resume": ["JOB"],
    "doctor": [],
    "version": [],
    "models": [],
}
PASSING = {"create", "status", "cancel", "resume", "doctor"}
"""The commands that ask Gemini, whose words differ where what it answers may pass; `run` would wait for it."""
ELSEWHERE = {"serve": "the tools below", "emulate": "has no key", "demo": "has no key"}
TOOLS: dict[str, dict[str, Any]] = {
    "build_requests": {"output_path": "tool.jsonl", "prompt": "Say {{ n }}", "data": "table.csv"},
    "estimate_cost": {"source": "a.jsonl", "model": MODEL},
    "create_batch": {"source": "b.jsonl", "model": MODEL},
    "check_status": {"job_id": "JOB", "wait_s": 1},
    "get_results": {"job_id": "JOB"},
    "resume_job": {"job_id": "JOB"},
    "list_jobs": {},
    "cancel_job": {"job_id": "JOB"},
}


def forms(secret: str) -> Iterator[str]:
    """How a text may hold a secret, whole or by its parts."""
    parts = [secret, *secret.splitlines(), *re.findall(r"[A-Za-z0-9_-]{8,}", secret)]
    for part in (each for each in parts if each not in ("GEMINI_API_KEY", "GOOGLE_API_KEY") and len(each) >= 8):
        yield part
        yield repr(part)[1:-1]
        yield repr(part.encode())[2:-1]
        yield json.dumps(part)[1:-1]
        for quoted in (quote(part, safe=""), quote_plus(part)):
            yield quoted
            yield re.sub("%..", lambda found: found[0].lower(), quoted)
        for before in range(3):
            encoded = base64.b64encode(b"x" * before + part.encode()).decode()
            own = encoded[(before * 8 + 5) // 6 : (before + len(part.encode())) * 8 // 6]
            yield own
            yield own.replace("+", "-").replace("/", "_")


def clean(content: str | bytes, secret: str, where: str) -> None:
    content = content.encode() if isinstance(content, str) else content
    for form in forms(secret):
        assert form.encode() not in content, f"{where} holds {form!r}: {content[:3000]!r}"


def clean_folder(folder: Path, secret: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            clean(path.read_bytes(), secret, str(path))


def run(world: World, env: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genai_batch", *args]
    return subprocess.run(
        command,
        cwd=world.work,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def keyed(key: str, url: str) -> dict[str, str]:
    return {"GEMINI_API_KEY": key, "GOOGLE_GEMINI_BASE_URL": url}


def sources(world: World) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        world.write(name, [row(f"{name}{n}", f"Say {n}.") for n in range(3)])
    world.write("table.csv", "n\n1\n2\n")


def heard(url: str) -> list[dict[str, Any]]:
    with urlopen(f"{url}/emulator/log") as reply:  # noqa: S310 - loopback
        return json.load(reply)["calls"]


async def tools_of(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools()).tools}


def test_every_command_is_tried() -> None:
    command = typer.main.get_command(app)
    assert set(getattr(command, "commands")) == set(COMMANDS) | set(ELSEWHERE)  # noqa: B009 - a group has them


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_a_key_is_refused_in_one_sentence_that_does_not_hold_it(what: str) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        with pytest.raises(BatchError) as caught:
            Settings.read({name: UNUSABLE[what]})
        text = str(caught.value)
        assert (name in text, text.count("\n"), text.endswith("Nothing was sent.")) == (True, 0, True)
        clean(text, UNUSABLE[what], "the refusal")
        problem = Settings.read({name: UNUSABLE[what]}, serving=True)
        assert problem.problem == text
        clean(repr(problem), UNUSABLE[what], "the settings")


@pytest.mark.parametrize("value", [" ", "\n", "<your key>", "$GEMINI_API_KEY", "YOUR_API_KEY", "'k'", "xxxxxxxx"])
def test_placeholders_are_no_keys(value: str) -> None:
    with pytest.raises(BatchError, match="GEMINI_API_KEY"):
        Settings.read({"GEMINI_API_KEY": value})


@pytest.mark.parametrize("value", [f"{KEY}\n", f"  {KEY}", f"{KEY}\r\n", f"\ufeff{KEY}".strip("\ufeff")])
def test_white_space_around_a_key_is_left_out(value: str) -> None:
    assert Settings.read({"GEMINI_API_KEY": value}).api_key == KEY


@pytest.mark.parametrize("what", UNUSABLE)
async def test_unusable_keys_end_every_command_before_anything_is_sent(
    world: World, emulator_url: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(world)
    monkeypatch.chdir(world.work)
    env = {**world.env(GENAI_BATCH_BACKEND="gemini"), **keyed(UNUSABLE[what], emulator_url)}
    for command, args in COMMANDS.items():
        done = await to_thread.run_sync(lambda: CliRunner().invoke(app, [command, *args], env=env))  # noqa: B023 - awaited
        said = done.output + done.stderr
        assert (done.exit_code == 2 and "GEMINI_API_KEY" in said) or command == "version", (command, said)
        assert isinstance(done.exception, SystemExit | None), done.exception
        clean(said, UNUSABLE[what], command)
    clean_folder(world.home.parent, UNUSABLE[what])
    assert heard(emulator_url) == []


@pytest.mark.parametrize("what", UNUSABLE)
async def test_unusable_keys_are_told_by_every_tool(world: World, emulator_url: str, what: str) -> None:
    sources(world)
    env = {**world.env(GENAI_BATCH_BACKEND="gemini"), **keyed(UNUSABLE[what], emulator_url)}
    async with Client(build_server(Settings.read(env, serving=True))) as client:
        assert await tools_of(client) == set(TOOLS)
        for tool, arguments in TOOLS.items():
            said = text_of(reply := await client.call_tool(tool, arguments))
            assert (reply.is_error, "GEMINI_API_KEY" in said) == (True, True)
            clean(said, UNUSABLE[what], tool)
        clean((await client.read_resource("batch://jobs")).model_dump_json(), UNUSABLE[what], "jobs")
    assert heard(emulator_url) == []
    clean_folder(world.home.parent, UNUSABLE[what])


async def test_a_server_process_with_an_unusable_key_starts_and_tells_it(world: World, emulator_url: str) -> None:
    async with world.stdio(GENAI_BATCH_BACKEND="gemini", **keyed(UNUSABLE["quotes"], emulator_url)) as client:
        assert "GEMINI_API_KEY holds a quotation mark" in text_of(await client.call_tool("list_jobs", {}))


@pytest.mark.parametrize("code", [403, 500])
async def test_a_key_that_gemini_quotes_is_nowhere(world: World, emulator_url: str, code: int) -> None:
    sources(world)
    arm(emulator_url, call="any", code=code, echo=True, times=None)
    env = world.env(GENAI_BATCH_BACKEND="gemini", GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=emulator_url)
    outputs: list[str] = []
    job = ""
    assert COMMANDS.keys() >= PASSING
    for command, args in COMMANDS.items():
        if code == 500 and command not in PASSING:
            continue
        done = run(world, env, command, *[job if arg == "JOB" else arg for arg in args])
        outputs.append(done.stdout + done.stderr)
        job = job or next((path.name for path in world.home.glob("jobs/job_*")), "")
        clean(outputs[-1], KEY, command)
    assert any(MARK in each for each in outputs), outputs
    async with world.stdio(**{name: env[name] for name in env if name.startswith(("GE", "GO"))}) as client:
        for tool, arguments in TOOLS.items():
            reply = await client.call_tool(tool, {n: job if a == "JOB" else a for n, a in arguments.items()})
            clean(reply.model_dump_json(), KEY, tool)
        for path in ("", "/results", "/report"):
            try:
                read = await client.read_resource(f"batch://jobs/{job}{path}")
                clean(read.model_dump_json(), KEY, path)
            except Exception as error:  # noqa: BLE001 - its text is what counts
                clean(repr(error), KEY, path)
    for path in world.home.parent.rglob("*"):
        if path.is_file():
            clean(path.read_bytes(), KEY, str(path))


async def test_a_row_that_gemini_refuses_with_the_key_in_its_error_is_stored_without(
    world: World, emulator_url: str
) -> None:
    sources(world)
    arm(emulator_url, call="generate", code=400, echo=True, times=None, message="No such field.")
    env = world.env(GENAI_BATCH_BACKEND="gemini", GEMINI_API_KEY=KEY, GOOGLE_GEMINI_BASE_URL=emulator_url)
    for form in ("jsonl", "csv"):
        done = run(world, env, "run", "a.jsonl", "--model", MODEL, "--lane", "live", "--output", f"out.{form}")
        assert done.returncode == 3, done
        clean(done.stdout + done.stderr, KEY, "run")
    job = next(path.name for path in world.home.glob("jobs/job_*"))
    assert run(world, env, "report", job).returncode == 0
    clean_folder(world.home.parent, KEY)
    assert MARK in (world.work / "out.jsonl").read_text()


def arm(url: str, **fault: Any) -> None:
    body = json.dumps({"fault": "http_error", **fault}).encode()
    with urlopen(Request(f"{url}/emulator/faults", data=body)):  # noqa: S310 - loopback
        pass


ODD = "pa+ss/wo%rd'\"\\ü12=<x>&"


@pytest.mark.parametrize("secret", [KEY, *UNUSABLE.values(), ODD, "AQ.Ab8RN6I-longer_key.with.dots"])
def test_every_form_of_a_key_is_found_whole_and_by_parts(secret: str) -> None:
    redaction.protect(secret)
    for form in forms(secret):
        for around in ("{}", "before {} behind", "x-goog-api-key: {}\n", "b'{}'", "%3D{}%26"):
            clean(redact(around.format(form)), secret, form)
    nested = json.dumps({"message": repr(secret.encode()), "body": json.dumps({"key": secret})})
    clean(redact(nested), secret, "nested")
    clean(redact(base64.b64encode(f"user:{secret}".encode()).decode()), secret, "basic")


def test_failures_logs_and_tracebacks_hold_no_key(caplog: pytest.LogCaptureFixture) -> None:
    redaction.protect(KEY)
    error = ProviderError(f"refused {KEY!r}", reason="key")
    clean(str(error), KEY, "the failure")
    clean(BatchError(base64.b64encode(KEY.encode()).decode()).args[0], KEY, "the failure")
    for name in ("genai_batch", "google_genai.client", "httpx2", "httpcore2.http11", "aiohttp.client", "anything"):
        log = logging.getLogger(name)
        log.warning("headers %s", {"x-goog-api-key": KEY})
        log.error("%s", KEY.encode())
        try:
            int(f"Invalid header value {KEY.encode()!r}")
        except ValueError:
            log.exception("it failed", stack_info=True)
    assert len(caplog.records) == 18
    clean(caplog.text, KEY, "the log")
    assert "ValueError: invalid literal for int() with base 10: " in caplog.text


def test_a_traceback_that_ends_a_process_holds_no_key() -> None:
    code = f"""
from genai_batch.resources import redaction
redaction.guard_tracebacks()
redaction.protect({KEY!r})
raise RuntimeError("header " + repr({KEY!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, MARK in done.stderr) == (1, True)
    clean(done.stderr.splitlines()[-1], KEY, "the traceback")


def test_ordinary_texts_stay_as_they_are() -> None:
    redaction.protect(UNUSABLE["own name"])
    text = "Set GEMINI_API_KEY, or GOOGLE_API_KEY; Gemini answered 403: Permission denied."
    assert redact(text) == text
    redaction.protect("short")
    assert redact("a short text") == "a short text"
    assert traceback.format_exc()
