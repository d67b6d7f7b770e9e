"""No lane sends past a limit, whatever becomes of the calls, and what rests there goes on once it is lifted."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.resources.requests import Cut
from tests.benchmarks.limited_days import days
from tests.benchmarks.limited_days import table as days_table
from tests.benchmarks.limited_jobs import charged, outcomes, table
from tests.test_gate import User
from tests.test_live_kills import emulating
from tests.world import MODEL, OVER, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
LONG = {"drawn": {"output_tokens": 30_000, "output_sigma": 0.4, "thought_tokens": 10_000}}
"""Answers that are longer than is likely: an estimate of 40 rows is passed by the ninth or so."""
ROWS = [row(f"k{n}", f"Say {n}.") for n in range(40)]
LIMIT = 2.0


async def rested(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a job until a limit has stopped it."""
    status: dict[str, Any] = {}
    with anyio.fail_after(50):
        while "Stopped" not in status.get("notice", ""):
            status = await call(client, "check_status", job_id=job_id, wait_s=0.1)
            assert status["state"] not in OVER, status
    return status


def test_no_job_of_dozens_passes_its_limit_and_those_that_fit_finish() -> None:
    results = [*outcomes(40, seed=5)]
    assert [outcome.problem for outcome in results if outcome.problem] == [], table(results)
    assert {"finished", "rested", "refused"} <= {outcome.end for outcome in results}, table(results)


def test_no_day_of_four_processes_in_all_lanes_passes_its_limit() -> None:
    results = [*days(8, seed=10)]
    assert [problem for outcome in results for problem in outcome.problems] == [], days_table(results)
    words = {end.word for outcome in results for end in outcome.ends.values()}
    assert {"finished", "refused"} <= words, days_table(results)


async def test_a_live_job_rests_at_its_limit_says_what_is_left_and_goes_on_once_it_is_approved(world: World) -> None:
    await world.set(**LONG)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), lane="live", concurrency=4, max_cost_usd=LIMIT)
        status = await rested(client, job_id)
        paid = charged(world.home)
        assert 0.5 * LIMIT < paid <= LIMIT
        assert f"{40 - status['done']} rows are left" in status["notice"]
        assert f"its limit of ${LIMIT:.2f}" in status["notice"]
        assert (f"${paid:.2f} paid" in status["notice"], "confirm=true" in status["next"]) == (True, True)
        answer = await refusal(client, "resume_job", job_id=job_id)
        assert ("confirm=true" in answer, "--confirm" in answer) == (True, True)
        assert charged(world.home) == paid, "nothing is sent before somebody approves"
        await call(client, "resume_job", job_id=job_id, confirm=True)
        status = await finish(client, job_id)
    assert (status["done"], status["counts"].get("error")) == (40, None)
    assert status["cost_usd"]["actual"] == pytest.approx(charged(world.home)), "no row was paid twice"


async def test_another_process_goes_on_within_the_same_limit_and_a_higher_one_lifts_it(world: World) -> None:
    await world.set(**LONG, latency_s=0.05)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        job_id = await start(client, source, lane="live", concurrency=2, max_cost_usd=LIMIT)
    async with world.client() as client:
        await rested(client, job_id)
        paid = charged(world.home)
        assert paid <= LIMIT
        again = await call(client, "create_batch", source=source, model=MODEL, lane="live", max_cost_usd=LIMIT)
        assert (again["job_id"], charged(world.home)) == (job_id, paid)
        await start(client, source, lane="live", max_cost_usd=2 * LIMIT)
        await rested(client, job_id)
    assert paid < charged(world.home) <= 2 * LIMIT


@pytest.mark.parametrize("fault", ["drop_after", "empty_body"])
async def test_calls_that_may_be_billed_count_though_no_answer_came(world: World, fault: str) -> None:
    """What three lost calls may have cost is missing at the end of rows that fit into the limit once."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(40)]
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0})
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        await world.arm(fault, call="generate", times=3)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit)
        status = await rested(client, job_id)
        assert "calls that got no answer" in status["notice"]
        assert (35 <= status["done"] < 40, charged(world.home) <= limit) == (True, True)
        await call(client, "resume_job", job_id=job_id, confirm=True)
        assert (await finish(client, job_id))["done"] == 40


async def test_calls_that_reached_nobody_cost_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at first, so that rows which just fit into the limit are tried several times."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=30) for n in range(20)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"http://127.0.0.1:{port}")
    async with world.client(backend="gemini", api_key="any key") as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit)
        status: dict[str, Any] = {}
        while "does not answer" not in status.get("notice", ""):
            status = await call(client, "check_status", job_id=job_id, wait_s=0.2)
        with emulating(tmp_path, port):
            assert (await finish(client, job_id))["counts"] == {"truncated": 20}


async def test_calls_that_gemini_answers_with_an_error_cost_nothing(world: World) -> None:
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=30) for n in range(20)]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        await world.arm("http_error", call="generate", code=503, times=12)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit)
        assert (await finish(client, job_id))["counts"] == {"truncated": 20}


async def test_rows_sent_again_are_held_against_what_the_job_has_left(world: World) -> None:
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(20)]
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0})
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL))["cost_usd"]["high"]
        job_id = await start(client, source, max_cost_usd=1.2 * limit)
        assert (await finish(client, job_id))["counts"] == {"truncated": 20}
        answer = await refusal(client, "resume_job", job_id=job_id, rows="truncated")
        assert ("earlier attempts" in answer, "confirm=true" in answer) == (True, True)
        await call(client, "resume_job", job_id=job_id, rows="truncated", confirm=True)
        await finish(client, job_id)


async def test_no_batch_follows_one_that_was_dearer_than_all_may_be(world: World) -> None:
    """An answer longer than any may be stands for a price that nobody knew."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=100) for n in range(30)]
    await world.arm("row", match={"key": "k[0-3]$"}, outcome="ok", output_chars=40_000)
    source = world.write("a.jsonl", rows)
    size = (world.work / source).stat().st_size
    async with world.client(cut=Cut(bytes=size // 3 + 50)) as client:
        limit = (await call(client, "estimate_cost", source=source, model=MODEL))["cost_usd"]["high"]
        await world.arm("http_error", call="create", code=429, after=1, times=1)
        job_id = await start(client, source, max_cost_usd=limit)
        status = await rested(client, job_id)
        assert len(await world.bill()) == 1
        assert (status["done"] < 30, "confirm=true" in status["next"]) == (True, True)
        await refusal(client, "resume_job", job_id=job_id)
        await call(client, "resume_job", job_id=job_id, confirm=True)
        assert (await finish(client, job_id))["counts"] == {"ok": 30}


async def test_a_host_that_can_ask_asks_before_a_stopped_job_goes_on(world: World) -> None:
    await world.set(**LONG)
    user = User("accept")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), lane="live", concurrency=4, max_cost_usd=LIMIT)
        await rested(client, job_id)
    async with world.client(elicitation_callback=User("decline")) as client:
        assert "confirm=true" in await refusal(client, "resume_job", job_id=job_id)
    async with world.client(elicitation_callback=user) as client:
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["done"] == 40
    assert len(user.asked) == 1
    assert f"above your limit of ${LIMIT:.2f}" in user.asked[0]


async def notices_of(client: Client, job_id: str) -> list[str]:
    """The notices of a job until its end, each once as long as it stands."""
    notices, status = [""], await call(client, "check_status", job_id=job_id)
    while status["state"] not in OVER:
        if (notice := status["notice"].partition("to use Gemini.")[2].strip()) != notices[-1]:
            notices.append(notice)
        status = await call(client, "check_status", job_id=job_id, wait_s=0.1)
    return notices


async def test_it_says_once_that_most_of_the_limit_is_spent(world: World) -> None:
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(40)]
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0}, latency_s=0.2)
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        job_id = await start(client, source, lane="live", concurrency=2, max_cost_usd=limit)
        notices = await notices_of(client, job_id)
    assert sum("Three quarters of the limit" in notice for notice in notices) == 1, notices


async def test_it_says_once_that_rows_cost_other_than_was_expected(world: World) -> None:
    await world.set(**LONG, latency_s=0.5)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), lane="live", concurrency=12)
        notices = await notices_of(client, job_id)
    assert sum("was expected" in notice for notice in notices) == 1, notices


class Command:
    """A command of this project, as a process of its own on the home of a world."""

    def __init__(self, world: World, *arguments: str, **env: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", "genai_batch", *arguments, "--json", "--quiet"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, env=world.env(**env), cwd=world.work
        )

    def end(self) -> tuple[int, dict[str, Any]]:
        """Its exit code, and the last object that it printed."""
        out, _ = self._process.communicate(timeout=90)
        return self._process.returncode, json.loads(out.splitlines()[-1])


def run(world: World, source: str, *more: str, **env: str) -> Command:
    """Run a job live."""
    return Command(world, "run", source, "--model", MODEL, "--lane", "live", "--concurrency", "4", *more, **env)


async def test_four_processes_at_once_stay_within_the_limit_of_a_day(world: World) -> None:
    await world.set(**LONG, latency_s=0.02)
    day = {"GENAI_BATCH_MAX_COST_USD_PER_DAY": "5.5"}
    sources = [world.write(f"{n}.jsonl", [row(f"k{n}-{i}", f"Say {n} {i}.") for i in range(30)]) for n in range(4)]
    ended = [command.end() for command in [run(world, source, **day) for source in sources]]
    paid = charged(world.home)
    assert 3.5 < paid <= 5.5, ended
    assert [code for code, _ in ended] == [6] * 4, ended
    assert all("GENAI_BATCH_MAX_COST_USD_PER_DAY" in answer["notice"] for _, answer in ended)
    job = ended[0][1]["job_id"]
    code, status = Command(world, "resume", job, "--confirm", **day).end()
    assert (code, charged(world.home) <= 5.5) == (6, True), status
    code, status = Command(world, "resume", job, GENAI_BATCH_MAX_COST_USD_PER_DAY="50").end()
    assert code in (0, 3), status
    assert status["done"] == 30


async def test_what_was_spent_on_one_day_does_not_count_on_the_next(world: World) -> None:
    await world.set(**LONG)
    async with world.client(max_cost_usd_per_day=LIMIT) as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), lane="live", concurrency=4)
        assert "today's limit" in (await rested(client, job_id))["notice"]
        first = charged(world.home)
        await call(client, "resume_job", job_id=job_id)
        await rested(client, job_id)
        assert charged(world.home) == first <= LIMIT
        world.time += 86_400
        await call(client, "resume_job", job_id=job_id)
        await rested(client, job_id)
    assert 0.5 * LIMIT < charged(world.home) - first <= LIMIT


async def test_at_the_command_line_it_exits_6_and_resume_with_confirm_goes_on(world: World) -> None:
    await world.set(**LONG)
    code, status = run(world, world.write("a.jsonl", ROWS), "--max-cost-usd", f"{LIMIT}").end()
    job = status["job_id"]
    assert (code, f"genai-batch resume {job} --confirm" in status["notice"]) == (6, True), status
    assert 0 < len(status["results"]) <= status["counts"]["ok"], "what is paid is shown"
    assert charged(world.home) <= LIMIT
    assert Command(world, "status", job).end()[0] == 6
    code, answer = Command(world, "resume", job).end()
    assert (code, "--confirm" in answer["error"], answer["exit_code"]) == (6, True, 6)
    code, status = Command(world, "resume", job, "--confirm").end()
    assert (code in (0, 3), status["done"]) == (True, 40), status


async def test_a_stage_stops_where_the_limit_of_all_stages_is_reached(world: World) -> None:
    await world.set(**LONG)
    world.write("a.csv", "n\n" + "".join(f"{n}\n" for n in range(40)))
    stages = [{"name": "one", "data": "a.csv", "key": "k{{ n }}", "prompt": "Say {{ n }}.", "lane": "live"}]
    stages.append({"name": "two", "from": "one", "prompt": "{{ key }}"})
    source = world.write("a.json", json.dumps({"model": MODEL, "max_cost_usd": LIMIT, "stages": stages}))
    async with world.client() as client:
        begun = await call(client, "create_batch", source=source)
        status = await rested(client, begun["pipeline"]["id"])
        assert ("limit of all stages" in status["notice"], charged(world.home) <= LIMIT) == (True, True)
        assert "confirm=true" in status["next"]
        await call(client, "resume_job", job_id=begun["pipeline"]["id"], confirm=True)
        assert (await finish(client, begun["job_id"]))["done"] == 40


@pytest.mark.parametrize("lane", ["live", "batch"])
async def test_a_job_stops_once_too_many_of_its_rows_have_failed(world: World, lane: str) -> None:
    await world.arm("row", match={"prompt": "[02468]\\.$"}, outcome="blocked", times=None)
    items = [{"id": f"k{n}", "prompt": f"Say {n}."} for n in range(90)]
    manifest = {"model": MODEL, "lane": lane, "stop_on_failures": 45, "max_output_tokens": 100, "items": items}
    source = world.write("a.json", json.dumps(manifest))
    async with world.client(cut=Cut(bytes=4_500)) as client:
        await world.arm("http_error", call="create", code=429, after=1, times=1)
        job_id = await start(client, source, concurrency=4 if lane == "live" else None)
        status = await rested(client, job_id)
        assert (20 <= status["done"] < 60, "stop at 45 %" in status["notice"]) == (True, True), status
        page = await call(client, "get_results", job_id=job_id)
        assert (page["counts"]["pending"], "stop at 45 %" in page["notice"]) == (90 - status["done"], True), page
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 45, "blocked": 45}


async def test_stopping_for_failures_is_an_option_and_exits_4(world: World) -> None:
    await world.arm("row", match={"prompt": "Say"}, outcome="blocked", times=None)
    code, status = run(world, world.write("a.jsonl", ROWS), "--stop-on-failures", "50").end()
    assert (code, "rows failed, and it was to stop at 50 %" in status["notice"]) == (4, True), status
