"""What makes every call impossible is told in one sentence, by every command and over MCP, before anything is sent."""

import ssl
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from mcp import Client

from genai_batch.resources.errors import BatchError, ProviderError
from genai_batch.server import connection_checks
from genai_batch.server.app import build_server
from genai_batch.server.settings import Settings
from genai_batch.tools.lanes.gemini import _translated  # pyright: ignore[reportPrivateUsage] - the place of translation
from genai_batch.tools.lanes.live.caller import _failed  # pyright: ignore[reportPrivateUsage] - the same, live
from genai_batch.tools.lanes.live.replies import judge
from tests.world import MODEL, World, row, text_of

pytestmark = pytest.mark.anyio
KEY = {"GEMINI_API_KEY": "AIzaSyD-9f8e7d6c5b4a3928170605"}
MISSING = "/nowhere/certificates.pem"
BROKEN: list[tuple[dict[str, str], str]] = [
    ({"GOOGLE_GEMINI_BASE_URL": "https://generativelanguage.googleapis.com/v1beta"}, "/v1beta"),
    (
        {"GOOGLE_GEMINI_BASE_URL": "https://generativelanguage.googleapis.com/v1beta/openai/"},
        "address of the server alone",
    ),
    ({"GOOGLE_GEMINI_BASE_URL": "https://gateway.example/openai"}, "/openai"),
    ({"GOOGLE_GEMINI_BASE_URL": "https://x.example/v1/models"}, "/v1"),
    ({"GOOGLE_GEMINI_BASE_URL": "generativelanguage.googleapis.com"}, "does not begin with https://"),
    ({"GOOGLE_GEMINI_BASE_URL": "localhost:8790"}, "does not begin with https://"),
    ({"GOOGLE_GEMINI_BASE_URL": "ftp://x.example"}, "does not begin with https://"),
    ({"GOOGLE_GEMINI_BASE_URL": "https://x.example?key=1"}, "query"),
    ({"GOOGLE_GEMINI_BASE_URL": "https://x.example\n"}, "line break"),
    ({"GOOGLE_GEMINI_BASE_URL": "https://x.example:port"}, "cannot be read"),
    ({"SSL_CERT_FILE": MISSING}, f"SSL_CERT_FILE names {MISSING}, which does not exist"),
    ({"REQUESTS_CA_BUNDLE": MISSING}, "REQUESTS_CA_BUNDLE"),
    ({"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR"),
    ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, "pipx inject genai-batch-mcp socksio"),
    ({"https_proxy": "socks5h://user:secret@127.0.0.1:1080"}, "https_proxy names a SOCKS proxy"),
    ({"HTTPS_PROXY": "socks4://127.0.0.1:1080"}, "socks5://HOST:PORT"),
]
FINE = [
    {"GOOGLE_GEMINI_BASE_URL": "https://generativelanguage.googleapis.com/"},
    {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:8790"},
    {"GOOGLE_GEMINI_BASE_URL": "https://gateway.example/gemini"},
    {"HTTPS_PROXY": "http://user:secret@proxy:8080"},
    {"HTTPS_PROXY": "proxy:8080"},
    {"SSL_CERT_DIR": "/nowhere:/"},
]


def no_package(_: str) -> None:
    """Find no package of any name."""


@pytest.mark.parametrize(("env", "words"), BROKEN, ids=[words for _, words in BROKEN])
async def test_what_makes_every_call_impossible_is_one_sentence_everywhere(
    world: World, env: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_checks, "find_spec", no_package)  # nothing speaks SOCKS
    given = {**world.env(GENAI_BATCH_BACKEND="gemini"), **KEY, **env}
    with pytest.raises(BatchError, match="Nothing was sent") as caught:
        Settings.read(given, person=True)
    said = str(caught.value)
    assert (words in said, "secret" in said, "\n" in said, caught.value.exit_code) == (True, False, False, 2)
    async with Client(build_server(Settings.read(given, serving=True))) as client:
        world.write("a.jsonl", [row("a")])
        for tool, arguments in (("create_batch", {"source": "a.jsonl", "model": MODEL}), ("list_jobs", {})):
            reply = await client.call_tool(tool, arguments)
            assert (reply.is_error, text_of(reply)) == (True, said)
    assert not list(world.home.glob("jobs/job_*")), "no job waits for it"


@pytest.mark.parametrize("env", FINE, ids=str)
def test_what_can_work_is_not_refused(env: dict[str, str]) -> None:
    assert Settings.read({**KEY, **env}).problem is None


def test_offline_nothing_of_that_matters() -> None:
    assert Settings.read({"GENAI_BATCH_BACKEND": "emulator", "SSL_CERT_FILE": MISSING}).problem is None


def test_a_certificate_file_that_holds_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate\n")
    with pytest.raises(BatchError, match="holds no certificates"):
        Settings.read({**KEY, "SSL_CERT_FILE": str(tmp_path / "empty.pem")})


async def test_a_command_tells_it_without_a_traceback(world: World) -> None:
    env = world.env(GENAI_BATCH_BACKEND="gemini", SSL_CERT_FILE=MISSING, **KEY)
    for command in (["doctor"], ["list"], ["run", world.write("a.jsonl", [row("a")]), "--model", MODEL]):
        done = subprocess.run(
            [sys.executable, "-m", "genai_batch", *command],
            env=env,
            cwd=world.work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr.count("\n"), "SSL_CERT_FILE" in done.stderr) == (2, 1, True), done


async def test_a_certificate_that_is_not_trusted_stops_both_lanes() -> None:
    cause = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed")
    error = httpx2.ConnectError(str(cause))
    error.__cause__ = cause
    with pytest.raises(ProviderError, match="set SSL_CERT_FILE") as caught:
        async with _translated():
            raise error
    assert (caught.value.reason, caught.value.exit_code) == ("key", 4)
    verdict = judge(_failed(error))
    assert (verdict.kind, verdict.comes, "SSL_CERT_FILE" in verdict.reason) == ("stop", "resume", True)
    proxy = judge(_failed(httpx2.ProxyError("407 Proxy Authentication Required")))
    assert (proxy.kind, "wants a login" in proxy.reason) == ("stop", True)
    assert judge(_failed(httpx2.ConnectError("connection refused"))).kind == "again"
