"""A pilot runs a few rows under a cap and projects from what they cost; jobs that ended correct the next estimate."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.world import MODEL, OVER, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Tell me about subject {n}. " * (1 + n % 7)) for n in range(300)]
DRAWN = {"output_tokens": 300, "output_sigma": 0.5, "thought_tokens": 200, "thought_sigma": 0.4, "searches": 1}


def width(answer: dict[str, Any]) -> float:
    """Of the likely range."""
    return answer["cost_usd"]["likely_high"] - answer["cost_usd"]["low"]


async def test_a_pilot_narrows_the_range_to_a_third_and_the_job_lies_in_it(world: World) -> None:
    await world.set(drawn=DRAWN)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        before = await call(client, "estimate_cost", source=source, model=MODEL)
        after = await call(client, "estimate_cost", source=source, model=MODEL, pilot=20)
        assert (after["pilot"]["rows"], after["pilot"]["state"]) == (20, "JOB_STATE_SUCCEEDED")
        assert width(after) <= width(before) / 3
        assert after["cost_usd"]["high"] == before["cost_usd"]["high"], "20 rows say nothing of what 300 can cost"
        assert after["requests"] == 300
        status = await finish(client, await start(client, source, confirm=True))
        assert after["cost_usd"]["low"] <= status["cost_usd"]["actual"] <= after["cost_usd"]["likely_high"]
        live = await call(client, "estimate_cost", source=source, model=MODEL, pilot=20, lane="live")
        assert live["cost_usd"]["likely"] == pytest.approx(2 * after["cost_usd"]["likely"], rel=0.01)
    assert [batch["requests"] for batch in await world.bill()] == [20, 300], "asked for twice it is paid once"


async def test_a_pilot_is_held_back_by_its_cap_and_by_the_users_limits(world: World) -> None:
    source = world.write("a.jsonl", ROWS)
    async with world.client(max_cost_usd=0.02) as client:
        for most in ({"max_cost_usd": 0.001}, {}):
            said = await refusal(client, "estimate_cost", source=source, model=MODEL, pilot=20, **most)
            assert ("The pilot of 20 rows may cost" in said, "Nothing was sent" in said) == (True, True)
    async with world.client(max_cost_usd_per_day=0.0001) as client:
        said = await refusal(client, "estimate_cost", source=source, model=MODEL, pilot=20)
        assert "PER_DAY" in said
    assert await world.calls() == []


async def test_a_pilot_that_takes_its_time_is_looked_at_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_batch.tools.piloting.WAIT_S", 0.05)
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=60)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        first = await call(client, "estimate_cost", source=source, model=MODEL, pilot=20)
        assert first["pilot"]["state"] not in OVER
        assert "call again with the same arguments" in first["next"]
        for _ in range(50):  # the call may end before the batch is sent, and only a batch that is there gets older
            if await world.bill():
                break
            await call(client, "check_status", job_id=first["pilot"]["job_id"])
        await world.advance(61)
        await finish(client, first["pilot"]["job_id"])
        second = await call(client, "estimate_cost", source=source, model=MODEL, pilot=20)
        assert second["pilot"]["job_id"] == first["pilot"]["job_id"]
        assert width(second) < width(first)


async def test_what_a_pilot_told_is_what_the_limits_are_held_against(world: World) -> None:
    await world.set(drawn=DRAWN)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        high = (await call(client, "estimate_cost", source=source, model=MODEL, pilot=20))["cost_usd"]["high"]
    async with world.client(max_cost_usd=high * 0.9) as client:
        assert "confirm=true" in await refusal(client, "create_batch", source=source, model=MODEL)
    async with world.client(max_cost_usd=high * 1.1) as client:
        assert (await finish(client, await start(client, source)))["counts"] == {"ok": 300}


async def test_what_earlier_jobs_taught_does_not_open_the_gate(world: World) -> None:
    await world.set(drawn={**DRAWN, "searches": 0, "output_tokens": 20, "thought_tokens": 5})
    rows = [row(f"k{n}", f"Say {n}.") for n in range(100)]
    async with world.client() as client:
        before = await call(client, "estimate_cost", source=world.write("a.jsonl", rows), model=MODEL)
        for n in range(3):
            again = [row(f"{n}-{i}", f"Say {i}.") for i in range(100)]
            await finish(client, await start(client, world.write(f"{n}.jsonl", again), confirm=True))
        after = await call(client, "estimate_cost", source="a.jsonl", model=MODEL)
        assert after["cost_usd"]["likely_high"] < before["cost_usd"]["likely_high"] / 2
        assert after["cost_usd"]["high"] == before["cost_usd"]["high"]
    async with world.client(max_cost_usd=before["cost_usd"]["high"] * 0.9) as client:
        assert "confirm=true" in await refusal(client, "create_batch", source="a.jsonl", model=MODEL)
    async with world.client(max_cost_usd=before["cost_usd"]["likely_high"] * 0.9) as client:
        live = {"source": "a.jsonl", "model": MODEL, "lane": "live"}
        assert "confirm=true" in await refusal(client, "create_batch", **live)


async def test_only_jobs_whose_rows_came_out_well_teach(world: World) -> None:
    async with world.client() as client:
        plain = await call(client, "estimate_cost", source=world.write("new.jsonl", ROWS[:150]), model=MODEL)
        await world.arm("row", outcome="blocked", match={"key": "."}, times=None)
        for n in range(3):
            rows = [row(f"{n}-{i}", f"Tell me about thing {n}, {i}. " * (1 + i % 7)) for i in range(150)]
            await finish(client, await start(client, world.write(f"{n}.jsonl", rows), confirm=True))
        assert await call(client, "estimate_cost", source="new.jsonl", model=MODEL) == plain


MIXED = [row(f"k{n}", f"Say {n}.", max_output_tokens=30 if n % 100 else 4_000) for n in range(1, 601)]
"""Six rows of 600 may write much more than the others, and the answers are as long as they may be."""


async def test_a_pilot_holds_some_of_the_rows_that_are_rare_and_dear_and_says_what_may_be_missing(world: World) -> None:
    await world.set(drawn={"output_tokens": 20_000, "output_sigma": 0.3})
    source = world.write("a.jsonl", MIXED)
    async with world.client() as client:
        before = await call(client, "estimate_cost", source=source, model=MODEL)
        after = await call(client, "estimate_cost", source=source, model=MODEL, pilot=20)
        page = await call(client, "get_results", job_id=after["pilot"]["job_id"], limit=50)
        dear = [result for result in page["results"] if result["key"] in {f"k{n}" for n in range(100, 700, 100)}]
        assert len(dear) >= 3
        rest = f"{20 - len(dear)} of 594"
        assert f"It is {len(dear)} of 6, {rest} rows by their size" in after["pilot"]["unseen"]
        assert "rarer than 1 in" in after["pilot"]["unseen"]
        assert (" of these 6" in after["pilot"]["unseen"]) == (len(dear) < 6)
        assert after["cost_usd"]["high"] == before["cost_usd"]["high"]
        status = await finish(client, await start(client, source, confirm=True))
        assert after["cost_usd"]["low"] <= status["cost_usd"]["actual"] <= after["cost_usd"]["likely_high"]
        assert after["cost_usd"]["likely"] == pytest.approx(status["cost_usd"]["actual"], rel=0.05)


async def test_where_no_dear_row_came_back_it_says_so(world: World) -> None:
    await world.arm("row", outcome="error", match={"key": "00$"}, times=None)
    async with world.client() as client:
        answer = await call(client, "estimate_cost", source=world.write("a.jsonl", MIXED), model=MODEL, pilot=20)
    assert "No row of these 6 came back well: they count as rows of the next size." in answer["pilot"]["unseen"]


async def test_where_a_pilot_makes_no_sense_it_is_refused_and_a_bad_one_tells_nothing(world: World) -> None:
    async with world.client() as client:
        few = world.write("few.jsonl", ROWS[:30])
        assert "too few for a pilot" in await refusal(client, "estimate_cost", source=few, model=MODEL, pilot=20)
        bad = world.write("bad.jsonl", [*ROWS, {"key": "x"}])
        assert "line 301" in await refusal(client, "estimate_cost", source=bad, model=MODEL, pilot=20)
        await world.arm("row", outcome="error", match={"key": "."}, times=None)
        source = world.write("a.jsonl", ROWS)
        before = await call(client, "estimate_cost", source=source, model=MODEL)
        after = await call(client, "estimate_cost", source=source, model=MODEL, pilot=20)
        assert (after["cost_usd"], "Too few rows" in after["next"]) == (before["cost_usd"], True)


async def test_what_jobs_cost_corrects_the_next_estimate_of_their_model_and_shape(world: World) -> None:
    await world.set(drawn=DRAWN)
    async with world.client() as client:
        plain = await call(client, "estimate_cost", source=world.write("new.jsonl", ROWS[150:]), model=MODEL)
        for n in range(3):
            rows = [row(f"{n}-{i}", f"Tell me about thing {n}, {i}. " * (1 + i % 7)) for i in range(150)]
            await finish(client, await start(client, world.write(f"{n}.jsonl", rows), confirm=True))
        learnt = await call(client, "estimate_cost", source="new.jsonl", model=MODEL)
        assert "3 earlier jobs" in learnt["learnt"]
        assert width(learnt) < width(plain) / 2
        status = await finish(client, await start(client, "new.jsonl", confirm=True))
        assert learnt["cost_usd"]["low"] <= status["cost_usd"]["actual"] <= learnt["cost_usd"]["likely_high"]
        other = world.write("other.jsonl", [row(f"o{n}", max_output_tokens=77) for n in range(30)])
        assert "learnt" not in await call(client, "estimate_cost", source=other, model=MODEL)


async def generated(world: World) -> int:
    return len(await world.calls("generateContent"))


async def test_a_live_job_runs_some_rows_first_and_goes_on_where_they_tell_that_it_fits(world: World) -> None:
    await world.set(drawn=DRAWN)
    source = world.write("a.jsonl", ROWS)
    live = {"source": source, "model": MODEL, "lane": "live", "concurrency": 20}
    async with world.client() as client:
        cost = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]
        high = cost["likely_high"]
        assert "confirm=true" in await refusal(client, "create_batch", max_cost_usd=high * 0.9, **live)
        begun = await call(client, "create_batch", max_cost_usd=high * 0.9, pilot=20, **live)
        assert ("of 20 rows cost $" in begun["notice"], " was estimated." in begun["notice"]) == (True, True)
        assert f"${cost['high']:.2f} at most" in begun["notice"], "the bound stands beside what the pilot told"
        assert "A kind of row rarer than 1 in 7 may not be in it." in begun["notice"]
        status = await finish(client, begun["job_id"])
        assert (status["counts"], await generated(world)) == ({"ok": 300}, 320)
        again = await call(client, "create_batch", pilot=20, **live)
        assert (again["existing"], await generated(world)) == (True, 320)
    assert await world.bill() == [], "the pilot is live too"


@pytest.mark.parametrize("lane", ["live", "batch"])
async def test_a_job_stops_after_its_pilot_where_that_tells_that_it_costs_more_than_the_limit(
    world: World, lane: str
) -> None:
    await world.set(drawn={**DRAWN, "output_tokens": 3_000})
    limit = {"max_output_tokens": 8_000} if lane == "batch" else {}  # five rows of a batch can cost $0.61 without
    source = world.write("a.jsonl", [row(f"k{n}", f"Tell me of {n}. " * (1 + n % 7), **limit) for n in range(300)])
    async with world.client() as client:
        for _ in range(2):
            said = await refusal(
                client, "create_batch", source=source, model=MODEL, lane=lane, max_cost_usd=0.5, pilot=5
            )
            assert "Nothing else was sent. Ask the user" in said
        jobs = (await call(client, "list_jobs"))["jobs"]
    assert [each["name"] for each in jobs] == ["pilot of a"], "what was told once is not paid again"


async def test_a_pilot_that_takes_its_time_holds_its_job_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_batch.tools.piloting.WAIT_S", 0.05)
    await world.set(latency_s=0.3)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        asked = {"source": source, "model": MODEL, "lane": "live", "pilot": 20, "concurrency": 4}
        said = await refusal(client, "create_batch", **asked)
        assert "Call again with the same arguments" in said
        await finish(client, said.split("pilot ")[1].split()[0])
        await world.set(latency_s=0)
        assert (await finish(client, (await call(client, "create_batch", **asked))["job_id"]))["counts"] == {"ok": 300}


async def test_the_command_runs_a_pilot_and_then_the_rest(world: World) -> None:
    await world.set(drawn=DRAWN)
    source = world.write("a.jsonl", ROWS)
    command = [sys.executable, "-m", "genai_batch", "run", source, "--model", MODEL, "--lane", "live"]
    done = subprocess.run(
        [*command, "--pilot", "20", "--max-cost-usd", "5"],
        capture_output=True, text=True, timeout=60, cwd=world.work, env=world.env(), check=False,
    )  # fmt: skip
    assert (done.returncode, await generated(world)) == (0, 320), done.stderr


async def test_the_command_waits_for_its_pilot(world: World) -> None:
    await world.set(queue_s=0.5, drawn=DRAWN)
    source = world.work / world.write("a.jsonl", ROWS)
    command = [
        sys.executable,
        "-m",
        "genai_batch",
        "estimate",
        str(source),
        "--model",
        MODEL,
        "--pilot",
        "20",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=world.env(), check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["pilot"]["state"]) == (0, "JOB_STATE_SUCCEEDED"), done.stderr
    command.remove("--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=world.env(), check=False)
    assert ("rarer than 1 in 7 may not be in it" in done.stdout, "at most $" in done.stdout) == (True, True)


async def test_a_pilot_that_told_nothing_is_sent_anew_when_it_is_asked_for_again(world: World) -> None:
    await world.arm("http_error", call="generate", code=400, message="Bad request.", times=None)
    live = {"source": world.write("a.jsonl", ROWS), "model": MODEL, "lane": "live", "pilot": 5}
    async with world.client() as client:
        said = await refusal(client, "create_batch", **live)
        assert ("Too few rows" in said, "the pilot anew" in said, await generated(world)) == (True, True, 5)
        await world.admin("DELETE", "/faults")
        begun = await call(client, "create_batch", **live)
        assert "told nothing, so that it was sent anew" in begun["notice"]
        assert (await finish(client, begun["job_id"]))["counts"] == {"ok": 300}
        assert await generated(world) == 5 + 5 + 300
        await call(client, "estimate_cost", **live)
    assert await generated(world) == 310, "one that told something is not"


async def test_a_pilot_of_fewer_rows_does_not_answer_for_one_of_more(world: World) -> None:
    await world.set(drawn={**DRAWN, "output_tokens": 3_000})
    asked = {"source": world.write("a.jsonl", ROWS), "model": MODEL, "lane": "live", "max_cost_usd": 0.5}
    sent: list[int] = []
    async with world.client() as client:
        for rows in (5, 10, 5, 10):
            assert "Nothing else was sent" in await refusal(client, "create_batch", pilot=rows, **asked)
            sent.append(await generated(world))
    assert sent == [5, 15, 15, 15]


FEW = [row(f"k{n}", f"Say {n}.", max_output_tokens=100) for n in range(40)]
LEAKED = {"code": 403, "message": "Your API key was reported as leaked. Please use another API key."}
DAY_QUOTA = {"code": 429, "message": "You exceeded your current quota.", "quota_id": "GenerateRequestsPerDayPerProject"}


def commanded(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a source of few rows with a pilot."""
    command = [sys.executable, "-m", "genai_batch", *words, "--model", MODEL, "--pilot", "5"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=world.work, env=world.env(), check=False
    )


@pytest.mark.parametrize(
    ("command", "lane", "fault", "code", "words"),
    [
        ("run", "live", LEAKED, 4, "make a new one"),
        ("create", "flex", LEAKED, 4, "make a new one"),
        ("run", "batch", LEAKED, 4, "make a new one"),
        ("estimate", "batch", LEAKED, 4, "make a new one"),
        ("create", "live", DAY_QUOTA, 5, "quota of the day"),
    ],
)
async def test_the_command_ends_with_the_reason_of_its_pilot_and_goes_on_once_that_is_mended(
    world: World, command: str, lane: str, fault: dict[str, Any], code: int, words: str
) -> None:
    source, kind = world.write("a.jsonl", FEW), "create" if lane == "batch" else "generate"
    await world.arm("http_error", call=kind, times=None, **fault)
    done = commanded(world, command, source, "--lane", lane, "--json", "--quiet")
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, words in error, "The pilot job_" in error, words in done.stderr) == (
        code,
        True,
        True,
        True,
    )
    sent = len(await world.calls("batchGenerate" if lane == "batch" else "generateContent"))
    assert 1 <= sent <= 5, "it stops at once"
    await world.admin("DELETE", "/faults")
    if code == 4:
        assert commanded(world, "run", source, "--lane", lane).returncode in (0, 3), "some rows are cut off"


@pytest.mark.parametrize("command", ["run", "estimate"])
async def test_a_batch_pilot_that_fails_ends_the_command_and_is_not_sent_again_by_itself(
    world: World, command: str
) -> None:
    await world.arm("expire", after_s=0)
    source = world.write("a.jsonl", FEW)
    done = commanded(world, command, source)
    assert (done.returncode, "The pilot job_" in done.stderr, "(EXPIRED)" in done.stderr) == (4, True, True)
    assert len(await world.bill()) == 1


async def test_a_tool_says_why_a_pilot_has_stopped_and_goes_on_with_it_when_asked_again(world: World) -> None:
    await world.arm("http_error", call="generate", times=None, **LEAKED)
    ask = {"source": world.write("a.jsonl", FEW), "model": MODEL, "lane": "live", "pilot": 5, "concurrency": 1}
    async with world.client() as client:
        for _ in range(2):
            assert "make a new one" in await refusal(client, "create_batch", **ask)
        await world.admin("DELETE", "/faults")
        job_id = (await call(client, "create_batch", **ask))["job_id"]
        assert (await finish(client, job_id))["counts"] == {"ok": 40}
        assert len((await call(client, "list_jobs"))["jobs"]) == 2, "the pilot is the same one"
