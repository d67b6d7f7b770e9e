"""Every refusal of Gemini that is known, in every lane that can meet it: state, exit code, words, what was sent.

What is permanent for the key stops a job at once (exit 4: somebody has to act), keeps its place, and goes on with
resume_job. What passes is waited for, no longer than it says (exit 5: ask again). What is wrong with a row is that
row's.
"""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import pytest

from genai_batch.resources.errors import ProviderError
from genai_batch.resources.requests import Cut
from genai_batch.resources.status import JobStatus
from genai_batch.server.settings import open_workspace
from genai_batch.server.terminal import exit_code
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.get_results import get_results
from genai_batch.tools.lanes.means import GIVE_UP_S, LONGEST_PAUSE_S, Pace
from genai_batch.tools.lanes.refusals import midnight
from genai_batch.tools.resume_job import resume_job
from genai_batch.tools.workspace import Workspace
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
HOUR, DAY = 3600, 24 * 3600
ROWS = [row(f"k{n}", f"Say {n}.") for n in range(6)]
PAGE = "<!DOCTYPE html><html><head><title> Hotel\n Wi-Fi </title></head><body>Sign in</body></html>"
FREE = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
QUOTA = "You exceeded your current quota, please check your plan and billing details."


def info(reason: str) -> list[dict[str, Any]]:
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]


class Row(NamedTuple):
    """A row of the table: what Gemini answers, and what is said of it."""

    name: str
    fault: dict[str, Any]
    words: tuple[str, ...]


def refused(code: int, message: str, *words: str, name: str = "", **more: Any) -> Row:
    return Row(name or message[:40], {"code": code, "message": message, **more}, (f"Gemini answered {code}", *words))


def page(code: int, *words: str) -> Row:
    return Row(f"html {code}", {"code": code, "body": PAGE}, ("HTML page titled 'Hotel Wi-Fi'", *words))


PRECONDITION = {"status": "FAILED_PRECONDITION"}
PERMANENT = [
    refused(429, "Your prepayment credits are depleted. Please go to AI Studio.", "Top up the balance"),
    refused(429, "Your prepaid balance is used up.", "Top up the balance", retry_delay_s=5),
    refused(402, "Payment required.", "Top up the balance"),
    refused(429, "Your project has exceeded its monthly spending cap.", "Raise the spending cap"),
    refused(429, "The monthly spend limit of the project is reached.", "Raise the spending cap", retry_delay_s=30),
    refused(429, QUOTA, "no quota", "another model", quota_id=FREE, quota_value="0", retry_delay_s=28, name="limit 0"),
    refused(429, QUOTA, "no quota", quota_id=FREE, quota_value=0, name="limit 0 as a number"),
    refused(
        429,
        f"{QUOTA} * Quota exceeded for metric: free_tier_requests, limit: 0, model: x",
        "no quota",
        quota_id="GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        retry_delay_s=28,
        name="limit 0 in words",
    ),
    refused(429, f"{QUOTA} limit: 0", "no quota", name="limit 0 without details"),
    refused(429, QUOTA, "no quota", details=[{"metadata": {"quota_limit_value": "0"}}], name="limit 0 in metadata"),
    refused(400, "User location is not supported for the API use.", "supported region", **PRECONDITION),
    refused(403, "Your country is not supported.", "supported region"),
    refused(400, "Billing must be enabled for this project.", "Enable billing", **PRECONDITION),
    refused(400, "This model is only available on the paid tier.", "Enable billing", **PRECONDITION),
    refused(400, "API key expired. Please renew the API key.", "GEMINI_API_KEY", details=info("API_KEY_INVALID")),
    refused(400, "API key not valid. Please pass a valid API key.", "GEMINI_API_KEY", "renew"),
    refused(400, "The request cannot be served.", "GEMINI_API_KEY", details=info("API_KEY_INVALID"), name="by reason"),
    refused(
        401,
        "API keys are not supported by this API. Expected OAuth2 access token.",
        "key of AI Studio",
        "GOOGLE_GEMINI_BASE_URL",
        details=info("CREDENTIALS_MISSING"),
    ),
    refused(401, "Request had invalid authentication credentials.", "GEMINI_API_KEY"),
    refused(403, "Your API key was reported as leaked. Please use another API key.", "make a new one"),
    refused(
        403,
        "Permission denied: Consumer 'project:1' has been suspended.",
        "suspended",
        "support",
        details=info("CONSUMER_SUSPENDED"),
    ),
    refused(
        403,
        "Generative Language API has not been used in project 1 before or it is disabled.",
        "Enable the Generative Language API",
        details=info("SERVICE_DISABLED"),
    ),
    refused(
        403,
        "The provided API key has an IP address restriction.",
        "lift the restriction",
        details=info("API_KEY_IP_ADDRESS_BLOCKED"),
    ),
    refused(
        403,
        "Requests from referer <empty> are blocked.",
        "lift the restriction",
        details=info("API_KEY_HTTP_REFERRER_BLOCKED"),
    ),
    refused(404, f"models/{MODEL} is not found for API version v1beta.", "Check the name of the model"),
    page(403, "sign in"),
    page(407, "sign in"),
    page(404, "GOOGLE_GEMINI_BASE_URL", "without a version"),
]
DAYS = [
    refused(429, QUOTA, "quota of the day", quota_id=FREE, quota_value="250", retry_delay_s=28, name="per day"),
    refused(429, QUOTA, "quota of the day", quota_id="BatchRequestsPerDayPerProject", name="per day, batches"),
    refused(429, "Daily limit of requests is reached.", "quota of the day", name="daily, in words"),
]
PACES = [
    refused(429, QUOTA, quota_id="GenerateRequestsPerMinutePerProject", quota_value="10", retry_delay_s=12, name="rpm"),
    refused(429, "Resource has been exhausted (e.g. check quota).", retry_delay_s=12, help=False, name="no id"),
]


def name_of(row_: Row) -> str:
    return row_.name


@asynccontextmanager
async def workspace(world: World, **changes: Any) -> AsyncGenerator[Workspace]:
    """What a command works in, with the pace of a real one; time stands still unless it is moved."""
    await world.admin("POST", "/clock", {"freeze": True})
    async with open_workspace(world.settings(pace=Pace(5, 5, 60), **changes), lambda: world.time) as here:
        yield here


async def sent(world: World, kind: str) -> int:
    return len(await world.calls(kind))


def honest(status: JobStatus) -> None:
    """Nothing is said to go on that was stopped or never accepted."""
    told = f"{status.notice} {status.next}"
    assert ("goes on by itself" in told, "waits for room" in told, "at your tier" in told) == (False,) * 3, told


@pytest.mark.parametrize("row_", PERMANENT, ids=name_of)
async def test_what_is_permanent_for_the_key_stops_a_batch_at_once_and_resume_goes_on(world: World, row_: Row) -> None:
    await world.arm("http_error", call="create", times=None, **row_.fault)
    async with workspace(world) as here:
        with pytest.raises(ProviderError) as caught:
            await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        assert all(word in str(caught.value) for word in row_.words), caught.value
        assert caught.value.exit_code == 4
        job_id = here.ledger.open_jobs()[0].id
        began = time.monotonic()
        status = await check_status(job_id, here, 50)
        assert time.monotonic() - began < 10, "nobody waits for it"
        assert (status.state, exit_code(status), status.counts.pending) == ("JOB_STATE_QUEUED", 4, 6)
        assert all(word in (status.notice or "") for word in row_.words), status.notice
        assert "resume_job" in status.next
        honest(status)
        for _ in range(3):
            await world.advance(DAY)
            await check_status(job_id, here)
        assert await sent(world, ":batchGenerateContent") == 1
        with pytest.raises(ProviderError, match=r"answered|HTML"):
            await resume_job(job_id, here)
        assert await sent(world, ":batchGenerateContent") == 2
        await world.admin("DELETE", "/faults")
        await resume_job(job_id, here)
        world.time += 10
        status = await check_status(job_id, here, 5)
        assert (status.state, status.counts.ok, exit_code(status)) == ("JOB_STATE_SUCCEEDED", 6, 0)
    assert len(await world.bill()) == 1


@pytest.mark.parametrize("row_", PERMANENT, ids=name_of)
async def test_what_is_permanent_for_the_key_stops_a_live_run_at_once_and_resume_goes_on(
    world: World, row_: Row
) -> None:
    await world.arm("http_error", call="generate", times=None, after=2, **row_.fault)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL, lane="live", concurrency=1)).job_id
        status = await check_status(job_id, here, 20)
        assert (status.state, status.done, exit_code(status)) == ("JOB_STATE_RUNNING", 2, 4)
        assert all(word in (status.notice or "") for word in row_.words), status.notice
        honest(status)
        assert "resume_job" in status.next
        for _ in range(3):
            await world.advance(DAY)
            await check_status(job_id, here)
        assert await sent(world, ":generateContent") == 3
        page = await get_results(job_id, here)
        assert (page.counts.ok, page.counts.pending) == (2, 4)
        assert all(word in (page.notice or "") for word in row_.words), page.notice
        await world.admin("DELETE", "/faults")
        await resume_job(job_id, here)
        assert (await check_status(job_id, here, 20)).counts.ok == 6
    assert await sent(world, ":generateContent") == 3 + 4


@pytest.mark.parametrize("row_", DAYS, ids=name_of)
async def test_the_quota_of_the_day_rests_a_batch_until_midnight_pacific(world: World, row_: Row) -> None:
    await world.arm("http_error", call="create", times=1, **row_.fault)
    async with workspace(world) as here:
        status = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        assert (status.state, exit_code(status)) == ("JOB_STATE_QUEUED", 5)
        assert all(word in (status.notice or "") for word in row_.words), status.notice
        assert "2026-11-21 08:00 UTC" in (status.notice or "")
        until = midnight(world.time)
        await world.advance(until - world.time - 60)
        await check_status(status.job_id, here)
        assert await sent(world, ":batchGenerateContent") == 1
        await world.advance(61)
        await check_status(status.job_id, here)
        assert await sent(world, ":batchGenerateContent") == 2


@pytest.mark.parametrize("row_", DAYS, ids=name_of)
async def test_the_quota_of_the_day_rests_a_live_run_until_midnight_pacific(world: World, row_: Row) -> None:
    await world.arm("http_error", call="generate", times=1, after=2, **row_.fault)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL, lane="live", concurrency=1)).job_id
        status = await check_status(job_id, here, 1)
        assert (status.state, status.done, exit_code(status)) == ("JOB_STATE_RUNNING", 2, 5)
        assert all(word in (status.notice or "") for word in row_.words), status.notice
        assert "by itself at 2026-11-21 08:00 UTC" in (status.notice or "")
        await world.advance(midnight(world.time) - world.time - 60)
        assert (await check_status(job_id, here, 0.5)).done == 2
        await world.advance(61)
        assert (await check_status(job_id, here, 20)).counts.ok == 6


async def test_a_batch_that_rests_for_the_day_is_sent_at_once_by_resume(world: World) -> None:
    await world.arm("http_error", call="create", times=1, **DAYS[0].fault)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
        assert (await resume_job(job_id, here)).state != "JOB_STATE_QUEUED"


@pytest.mark.parametrize("row_", PACES, ids=name_of)
async def test_pace_is_waited_for_as_long_as_it_says_by_a_batch(world: World, row_: Row) -> None:
    await world.arm("http_error", call="create", times=None, **row_.fault)
    async with workspace(world) as here:
        status = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        assert (status.state, exit_code(status)) == ("JOB_STATE_QUEUED", 5)
        assert all(word in (status.notice or "") for word in ("Gemini answered 429", "tried again"))
        for waits in range(1, 5):
            await world.advance(11)
            await check_status(status.job_id, here)
            assert await sent(world, ":batchGenerateContent") == waits
            await world.advance(2)
            await check_status(status.job_id, here)
            assert await sent(world, ":batchGenerateContent") == waits + 1


@pytest.mark.parametrize("row_", PACES, ids=name_of)
async def test_pace_is_waited_for_as_long_as_it_says_by_a_live_run_and_shown(world: World, row_: Row) -> None:
    await world.arm("http_error", call="generate", times=1, after=2, **{**row_.fault, "retry_delay_s": 3})
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL, lane="live", concurrency=1)).job_id
        notices = set[str]()
        for _ in range(20):
            status = await check_status(job_id, here, 0.2)
            assert exit_code(status) == 5
            notices.add(status.notice or "")
        assert any("Waiting: Gemini refuses by pace (429), retry in " in notice for notice in notices), notices
        with anyio.fail_after(10):
            while (await check_status(job_id, here, 0.2)).done < 3:
                pass
    assert await sent(world, ":generateContent") >= 4


async def test_a_full_queue_of_batches_waits_for_one_to_finish(world: World) -> None:
    await world.arm("http_error", call="create", code=429, times=None, message=QUOTA)
    async with workspace(world) as here:
        status = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        assert (status.state, exit_code(status)) == ("JOB_STATE_QUEUED", 5)
        assert "wait for one to finish" in (status.notice or "")
        assert "goes on by itself" not in status.next
        for calls in range(2, 12):
            await world.advance(1.2 * LONGEST_PAUSE_S)
            await check_status(status.job_id, here)
            assert await sent(world, ":batchGenerateContent") == calls


@pytest.mark.parametrize("fault", [{"code": 503}, {"code": 500}, {"code": 502, "body": PAGE}], ids=str)
async def test_what_passes_is_waited_for_and_its_reason_is_shown(world: World, fault: dict[str, Any]) -> None:
    await world.arm("http_error", call="generate", times=4, **fault)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS[:1]), here, MODEL, lane="live")).job_id
        notices = set[str]()
        while not (status := await check_status(job_id, here, 0.2)).is_over:
            assert exit_code(status) == 5
            notices.add(status.notice or "")
        assert status.counts.ok == 1
    words = "HTML page titled 'Hotel Wi-Fi'" if "body" in fault else f"Gemini answered {fault['code']}"
    assert any("Waiting: " in notice and words in notice for notice in notices), notices


@pytest.mark.parametrize("code", [400, 403, 404])
async def test_what_is_wrong_with_a_row_is_that_rows_alone(world: World, code: int) -> None:
    message = {
        400: "No such field.",
        403: "You do not have permission to access the File abc.",
        404: "file abc is gone",
    }
    await world.arm("http_error", call="generate", code=code, message=message[code], times=1)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL, lane="live", concurrency=1)).job_id
        status = await check_status(job_id, here, 20)
    assert (status.counts.ok, status.counts.error, exit_code(status)) == (5, 1, 3)


async def test_a_login_page_of_the_network_stops_both_lanes_and_nothing_is_lost(world: World) -> None:
    for kind in ("create", "list", "generate"):
        await world.arm("http_error", call=kind, code=200, body=PAGE, times=None)
    async with workspace(world) as here:
        with pytest.raises(ProviderError, match="Hotel Wi-Fi"):
            await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        batch = here.ledger.open_jobs()[0]
        status = await check_status(batch.id, here, 5)
        assert (exit_code(status), "sign in" in (status.notice or "")) == (4, True)
        honest(status)
        live = await create_batch(world.write("b.jsonl", ROWS), here, MODEL, lane="live", concurrency=1)
        status = await check_status(live.job_id, here, 20)
        assert (exit_code(status), "sign in" in (status.notice or "")) == (4, True)
        assert await sent(world, ":generateContent") == 3
        await world.admin("DELETE", "/faults")
        await world.advance(61)
        for job_id in (batch.id, live.job_id):
            await resume_job(job_id, here)
        for _ in range(2):  # it is looked for once more, and then sent again
            await world.advance(301)
            await check_status(batch.id, here)
        await world.advance(10)
        for job_id in (batch.id, live.job_id):
            assert (await check_status(job_id, here, 20)).counts.ok == 6
    assert len(await world.bill()) == 1


async def test_a_login_page_before_an_upload_is_not_taken_for_a_refused_file(world: World) -> None:
    for kind in ("upload_start", "list"):
        await world.arm("http_error", call=kind, code=200, body=PAGE, times=None)
    async with workspace(world) as here:
        with pytest.raises(ProviderError, match="Hotel Wi-Fi"):
            await create_batch(world.write("a.jsonl", [row(f"k{n}") for n in range(60)]), here, MODEL)
        job_id = here.ledger.open_jobs()[0].id
        await world.admin("DELETE", "/faults")
        await resume_job(job_id, here)
        await world.advance(10)
        assert (await check_status(job_id, here, 5)).counts.ok == 60


@pytest.mark.parametrize("row_", [PERMANENT[0], PERMANENT[18], page(403)], ids=name_of)
async def test_a_batch_at_gemini_is_asked_about_until_the_key_is_good_again(world: World, row_: Row) -> None:
    await world.set(queue_s=HOUR)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
        await world.advance(6)
        await world.arm("http_error", call="get", times=None, **row_.fault)
        began = time.monotonic()
        status = await check_status(job_id, here, 50)
        assert time.monotonic() - began < 10
        assert (status.state, exit_code(status)) == ("JOB_STATE_PENDING", 4)
        assert all(word in (status.notice or "") for word in row_.words), status.notice
        await world.admin("DELETE", "/faults")
        await world.advance(2 * HOUR)
        status = await check_status(job_id, here, 5)
        assert (status.counts.ok, exit_code(status)) == (6, 0)


async def test_what_is_accepted_goes_on_while_what_is_not_has_stopped(world: World) -> None:
    rows = [row(f"k{n}", f"{n}: {'Say something about this subject. ' * 12}") for n in range(40)]
    await world.set(queue_s=HOUR)
    await world.arm("http_error", call="create", after=1, times=1, **PERMANENT[0].fault)
    async with workspace(world, cut=Cut(tokens=2_000)) as here:
        with pytest.raises(ProviderError, match="Top up"):
            await create_batch(world.write("a.jsonl", rows), here, MODEL)
        job_id = here.ledger.open_jobs()[0].id
        status = await check_status(job_id, here)
        assert (exit_code(status), status.is_over) == (5, False), "a batch of it is at Gemini"
        assert "Top up the balance" in (status.notice or "")
        await world.advance(2 * HOUR)
        status = await check_status(job_id, here, 5)
        assert exit_code(status) == 4
        before = await sent(world, ":batchGenerateContent")
        status = await cancel_job(job_id, here)
        assert (status.counts.ok or 0) > 0
        assert await sent(world, ":batchGenerateContent") == before


async def test_a_stopped_job_goes_on_with_a_new_key_which_is_what_mends_some_refusals(world: World) -> None:
    leaked = PERMANENT[19].fault
    for kind in ("create", "generate"):
        await world.arm("http_error", call=kind, times=1, **leaked)
    async with workspace(world) as here:
        with pytest.raises(ProviderError, match="make a new one"):
            await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        await check_status((await create_batch(world.write("b.jsonl", ROWS), here, MODEL, lane="live")).job_id, here, 9)
        stopped = [job.id for job in here.ledger.open_jobs()]
    async with workspace(world, api_key="another") as here:
        for job_id in stopped:
            await resume_job(job_id, here)
            await world.advance(10)
            assert (await check_status(job_id, here, 20)).counts.ok == 6


async def test_a_job_that_gemini_has_is_not_taken_over_by_another_key(world: World) -> None:
    await world.set(queue_s=HOUR)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
    async with workspace(world, api_key="another") as here:
        with pytest.raises(Exception, match="another API key"):
            await resume_job(job_id, here)


@pytest.mark.parametrize("code", [403, 404])
async def test_a_result_file_that_is_gone_ends_the_job_and_is_not_called_uncharged(world: World, code: int) -> None:
    await world.arm("http_error", call="download", code=code, times=None)
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", [row(f"k{n}") for n in range(60)]), here, MODEL)).job_id
        said, status = list[str](), await check_status(job_id, here)
        for _ in range(4):
            await world.advance(GIVE_UP_S / 2)
            status = await check_status(job_id, here, 0)
            said.append(status.notice or "")
        assert (status.state, status.counts.missing, exit_code(status)) == ("JOB_STATE_FAILED", 60, 4)
        assert "charged" in said[-1]
        assert not any("nothing was charged" in each.lower() for each in said), said


async def test_every_lane_tells_it_over_mcp_too(world: World) -> None:
    for kind in ("create", "generate"):
        await world.arm("http_error", call=kind, times=None, **PERMANENT[0].fault)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        assert "Top up the balance" in await refusal(client, "create_batch", source=source, model=MODEL)
        job_id = await start(client, source, lane="live")
        status = await call(client, "check_status", job_id=job_id, wait_s=20)
        assert ("Top up the balance" in status["notice"], "stopped" in status) == (True, False)
        assert "resume_job" in status["next"]
        assert "Top up the balance" in await refusal(client, "get_results", job_id=job_id)
        await world.admin("DELETE", "/faults")
        again = await call(client, "create_batch", source=source, model=MODEL)
        assert again["existing"], "asking for it again lets it go on"
        assert (await finish(client, again["job_id"]))["counts"] == {"ok": 6}
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 6}


async def test_a_stage_of_a_pipeline_that_has_stopped_goes_on_with_the_pipeline(world: World) -> None:
    world.write("data.csv", "n\n1\n2\n")
    first = {"name": "first", "data": "data.csv", "key": "{{ n }}", "prompt": "Say {{ n }}.", "lane": "live"}
    then = {"name": "then", "from": "first", "prompt": "Again: {{ text }}", "lane": "live"}
    source = world.write("p.json", json.dumps({"model": MODEL, "stages": [first, then]}))
    await world.arm("http_error", call="generate", times=1, **PERMANENT[0].fault)
    async with world.client() as client:
        begun = await call(client, "create_batch", source=source)
        pipe = begun["pipeline"]["id"]
        status = await call(client, "check_status", job_id=pipe, wait_s=20)
        assert ("Top up the balance" in status["notice"], pipe in status["next"]) == (True, True)
        await call(client, "resume_job", job_id=pipe)
        status = await call(client, "check_status", job_id=pipe, wait_s=40)
        assert status["pipeline"]["state"] == "JOB_STATE_SUCCEEDED"


def test_a_script_can_act_on_the_exit_code_of_what_stopped() -> None:
    status = JobStatus.model_construct(state="JOB_STATE_RUNNING", stopped=True, pipeline=None)
    assert (exit_code(status), exit_code(replaced(status, stopped=False))) == (4, 5)


def replaced(status: JobStatus, **changes: Any) -> JobStatus:
    return status.model_copy(update=changes)
