"""Any faithful look-alike of the Gemini API works through the SDK's own setting, with nothing else changed."""

import json
from urllib.request import urlopen

import pytest

from tests.world import MODEL, World, call, finish, read, row, start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_the_whole_job_runs_against_a_base_url(world: World, emulator_url: str, version: str) -> None:
    env = {
        "GENAI_BATCH_BACKEND": "gemini",
        "GEMINI_API_KEY": "any-key",
        "GOOGLE_GEMINI_BASE_URL": emulator_url,
        "GOOGLE_GENAI_API_VERSION": version,
    }
    source = world.write("a.jsonl", [row(f"k{n}") for n in range(60)])
    async with world.stdio(**env) as client:
        job_id = await start(client, source)
        status = await finish(client, job_id)
        assert (status["backend"], status["counts"]) == ("gemini", {"ok": 60})
        assert "notice" not in status
        assert (await read(client, f"batch://jobs/{job_id}/results/k59"))["backend"] == "gemini"
        assert (await call(client, "list_jobs"))["jobs"][0]["ok"] == 60
    with urlopen(f"{emulator_url}/emulator/log") as reply:  # noqa: S310 - a loopback address
        paths = {call["path"] for call in json.load(reply)["calls"]}
    assert f"/{version}/models/{MODEL}:batchGenerateContent" in paths


async def test_a_server_that_is_not_there_is_an_outage_and_the_job_waits_for_it(world: World) -> None:
    env = {"GENAI_BATCH_BACKEND": "gemini", "GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
    async with world.stdio(**env) as client:
        status = await call(client, "create_batch", source=world.write("a.jsonl", [row("a")]), model=MODEL)
        assert (status["state"], "could not be reached" in status["notice"]) == ("JOB_STATE_QUEUED", True)
        assert "Nothing was sent" in status["notice"]
