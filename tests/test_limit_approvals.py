"""A limit that was stated holds for all that it was stated for: stages, repeated calls, pilots, later attempts."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.resources.call_costs import CallCosts
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.models import find
from genai_batch.resources.requests import Cut
from genai_batch.resources.spend import Account
from tests.benchmarks.answering import answering
from tests.benchmarks.limited_jobs import DAY, charged
from tests.processes import ending
from tests.test_gate import User
from tests.test_limits import LIMIT, LONG, ROWS, rested
from tests.world import MODEL, OVER, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
DEAR = {"drawn": {"output_tokens": 100_000, "output_sigma": 0}}
"""Answers as long as their rows allow."""


def accounts(world: World, job_id: str) -> list[Account]:
    """The money of all attempts of a job."""
    ledger = Ledger(world.home)
    try:
        attempts = range(ledger.job(job_id).attempt + 1)
        return [account for attempt in attempts if (account := ledger.account(job_id, attempt))]
    finally:
        ledger.close()


async def settled(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a job until it is over, or a limit has stopped it."""
    with anyio.fail_after(50):
        while True:
            status = await call(client, "check_status", job_id=job_id, wait_s=0.1)
            if status["state"] in OVER or "Stopped" in status.get("notice", ""):
                return status


async def blocked_stages(world: World, client: Client, names: str, blocked: int) -> tuple[str, list[str]]:
    """Begin a pipeline of stages whose rows are blocked but for one; return its id and those of their jobs."""
    await world.set(**DEAR)
    await world.arm("row", match={"prompt": "bad"}, outcome="blocked", times=None)
    for name in names:
        world.write(f"{name}.csv", f"n\nSay {name}\n" + "".join(f"bad {name} {n}\n" for n in range(blocked)))
    settings: Mapping[str, Any] = {"key": "{{ n }}", "prompt": "{{ n }}", "lane": "live", "max_output_tokens": 20_000}
    stages = [{"name": name, "data": f"{name}.csv", **settings} for name in names]
    if len(names) == 1:
        stages.append({"name": "two", "from": names, "prompt": "{{ key }}", "lane": "live", "max_output_tokens": 100})
    source = world.write("p.json", json.dumps({"model": MODEL, "max_cost_usd": LIMIT, "stages": stages}))
    begun = await call(client, "create_batch", source=source, confirm=True)
    pipeline = begun["pipeline"]["id"]
    with anyio.fail_after(50):
        while (await call(client, "check_status", job_id=pipeline, wait_s=0.1))["state"] not in OVER:
            pass
    ledger = Ledger(world.home)
    begun_jobs = ledger.rows("SELECT job_id FROM stage WHERE pipeline_id = ? ORDER BY number", pipeline)
    ledger.close()
    await world.admin("DELETE", "/faults")
    return pipeline, [stage["job_id"] for stage in begun_jobs]


def budget_of(world: World, pipeline: str) -> float:
    """The limit of a pipeline, in USD, as it stands now."""
    ledger = Ledger(world.home)
    try:
        return ledger.rows("SELECT budget FROM pipeline WHERE id = ?", pipeline)[0]["budget"]
    finally:
        ledger.close()


async def test_a_stage_sent_again_by_the_id_of_its_job_is_paid_out_of_the_limit_of_all_stages(world: World) -> None:
    async with world.client(max_cost_usd=5) as client:
        pipeline, jobs = await blocked_stages(world, client, "a", 60)
        budget = budget_of(world, pipeline)
        rows = [f"bad a {n}" for n in range(60)]
        await call(client, "resume_job", job_id=jobs[0], rows=rows)
        status = await settled(client, jobs[0])
        assert charged(world.home) <= budget
        assert "limit of all stages" in status["notice"]
        assert "confirm=true" in await refusal(client, "resume_job", job_id=jobs[0])
        await call(client, "resume_job", job_id=jobs[0], confirm=True)
        assert (await finish(client, jobs[0]))["counts"].get("blocked") is None
    assert charged(world.home) <= budget_of(world, pipeline)


async def test_two_stages_sent_again_at_once_share_the_limit(world: World) -> None:
    async with world.client(max_cost_usd=5) as client:
        pipeline, jobs = await blocked_stages(world, client, "ab", 25)
        budget = budget_of(world, pipeline)
        for name, job_id in zip("ab", jobs, strict=True):
            with suppress(AssertionError):  # what the first has set aside may leave too little for the second
                await call(client, "resume_job", job_id=job_id, rows=[f"bad {name} {n}" for n in range(25)])
        for job_id in jobs:
            await settled(client, job_id)
    assert charged(world.home) <= budget


async def test_a_call_that_states_no_limit_does_not_lift_the_one_that_a_job_has(world: World) -> None:
    await world.set(**LONG)
    async with world.client(max_cost_usd=5) as client:
        source = world.write("a.jsonl", ROWS)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=LIMIT)
        await rested(client, job_id)
        paid = charged(world.home)
        again = await call(client, "create_batch", source=source, model=MODEL, lane="live")
        assert (again["job_id"], "confirm=true" in again["next"]) == (job_id, True)
        await rested(client, job_id)
        assert (charged(world.home), accounts(world, job_id)[0].allowed) == (paid, LIMIT)
        await call(client, "create_batch", source=source, model=MODEL, lane="live", confirm=True)
        assert (await finish(client, job_id))["done"] == len(ROWS)


async def test_the_same_limit_again_is_that_of_all_attempts_together(world: World) -> None:
    await world.set(**DEAR)
    await world.arm("row", match={"prompt": "bad"}, outcome="blocked", times=None)
    keys = [f"b{n}" for n in range(30)]
    room = {"max_output_tokens": 20_000}
    rows = [row(f"k{n}", f"Say {n}.", **room) for n in range(5)] + [row(key, f"bad {key}.", **room) for key in keys]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=1.5)
        await finish(client, job_id)
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id, rows=keys)
        await rested(client, job_id)
        for limit in (1.5, 2.0):
            await start(client, source, lane="live", max_cost_usd=limit)
            await rested(client, job_id)
            first, second = accounts(world, job_id)
            assert first.spent + (second.allowed or 0) == pytest.approx(limit)
            assert 0.6 * limit < charged(world.home) <= limit


@pytest.mark.parametrize("lane", ["live", "batch"])
async def test_a_pilot_and_its_job_share_one_limit(world: World, lane: str) -> None:
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0})
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=2_000) for n in range(40)]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane=lane))["cost_usd"]["high"]
        ask = {"source": source, "model": MODEL, "lane": lane, "max_cost_usd": limit}
        answer = await refusal(client, "create_batch", pilot=20, **ask)
        pilot = charged(world.home)
        assert ("The pilot job_" in answer, "Nothing else was sent" in answer) == (True, True)
        assert 0.4 * limit < pilot < 0.6 * limit
        ask["max_cost_usd"] = 1.6 * limit
        job_id = (await call(client, "create_batch", pilot=20, **ask))["job_id"]
        assert accounts(world, job_id)[0].allowed == pytest.approx(1.6 * limit - pilot)
        assert (await finish(client, job_id))["counts"] == {"truncated": 40}
        assert pilot < charged(world.home) <= 1.6 * limit


async def test_a_row_with_a_dear_tool_does_not_make_the_others_dear_after_a_restart(world: World) -> None:
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(60)]
    rows[50]["request"]["tools"] = [{"googleMaps": {}}]
    rows[55]["request"]["service_tier"] = "priority"
    await world.set(drawn={"output_tokens": 5_000, "output_sigma": 0}, latency_s=0.05)
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        limit = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        job_id = await start(client, source, lane="live", concurrency=2, max_cost_usd=0.99 * limit)
        while (await call(client, "check_status", job_id=job_id, wait_s=0.1))["done"] < 10:
            pass
    await world.set(latency_s=0)
    async with world.client() as client:
        status = await settled(client, job_id)
    assert (status["done"] > 50, charged(world.home) <= limit) == (True, True), status


def test_each_answer_is_priced_by_the_request_of_its_key(tmp_path: Path) -> None:
    """Answers without counts of tokens cost what their own requests can, those without a key what the dearest can."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(4)]
    rows[2]["request"]["tools"] = [{"googleMaps": {}}]
    requests, results = tmp_path / "requests.jsonl", tmp_path / "results.jsonl"
    requests.write_text("".join(json.dumps(line) + "\n" for line in rows))
    costs = CallCosts(find(MODEL, DAY), "live", DAY)
    bounds = [costs.bound(json.dumps(line["request"]).encode()) for line in rows]
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 100}
    content = {"candidates": [{"content": {"parts": [{"text": "Hello."}]}, "finishReason": "STOP"}]}

    def paid(*answers: dict[str, Any]) -> float:
        results.write_text("".join(json.dumps(answer) + "\n" for answer in answers) + "cut off")
        return costs.paid_until_now(results, 0, requests)

    counted = [{"key": f"k{n}", "response": {**content, "usageMetadata": usage}} for n in range(4)]
    plain, dear = paid(counted[0]), paid(counted[2])
    assert (0 < plain < 0.01, dear > 10 * plain) == (True, True)
    assert paid(*counted) == pytest.approx(3 * plain + dear)
    assert paid({**counted[0], "key": None}) == pytest.approx(dear)
    assert paid(*({"key": f"k{n}", "response": content} for n in (0, 2))) == pytest.approx(bounds[0] + bounds[2])
    assert paid({"response": content}, {"key": "stranger", "response": content}) == pytest.approx(2 * max(bounds))
    assert paid({"metadata": {"key": "k2"}, "response": content}) == pytest.approx(bounds[2])


async def test_an_attempt_whose_cost_is_not_known_has_spent_what_it_can_have_cost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows fit into the limit, and no answer tells its tokens."""
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.", max_output_tokens=20_000) for n in range(20)])
    with answering(0, tokens=0) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        async with world.client(backend="gemini", api_key="any key") as client:
            price = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]
            limit = price["high"]
            job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit)
            status = await finish(client, job_id)
            [account] = accounts(world, job_id)
            assert (status["counts"], status["cost_usd"].get("actual")) == ({"ok": 20}, None)
            assert account.actual == pytest.approx(limit, rel=0.01)
            assert f"${limit:.2f} at most" in status["notice"]
            assert "earlier attempts" in await refusal(client, "resume_job", job_id=job_id, rows=["k0", "k1"])
            await call(client, "resume_job", job_id=job_id, rows=["k0"], confirm=True)
            await finish(client, job_id)


@pytest.mark.parametrize(("first", "others", "batches"), [(900, 400, 1), (600, 400, 2), (488, 368, 2)])
@pytest.mark.parametrize("is_of_day", [True, False])
async def test_every_batch_that_follows_dear_ones_is_held_against_the_limits(
    world: World, is_of_day: bool, first: int, others: int, batches: int
) -> None:
    """The answers of the first batch are longer than any may be, which stands for a price that nobody knew."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=100) for n in range(30)]
    await world.arm("row", match={"key": "k[0-9]$"}, outcome="ok", output_chars=first, times=None)
    await world.arm("row", match={"key": "k[12].$"}, outcome="max_tokens", output_chars=others, times=None)
    source = world.write("a.jsonl", rows)
    cut = Cut(bytes=(world.work / source).stat().st_size // 3 + 50)
    async with world.client(cut=cut) as client:
        high = (await call(client, "estimate_cost", source=source, model=MODEL))["cost_usd"]["high"]
    async with world.client(cut=cut, max_cost_usd_per_day=high if is_of_day else None) as client:
        for after in range(1, batches + 1):
            await world.arm("http_error", call="create", code=429, after=after, times=1)
        job_id = await start(client, source, max_cost_usd=None if is_of_day else high)
        status = await rested(client, job_id)
        assert ("today's limit" if is_of_day else "its limit") in status["notice"]
        assert (len(await world.bill()), charged(world.home) <= high) == (batches, True), status
        if is_of_day:
            await call(client, "resume_job", job_id=job_id, confirm=True)
            assert "today's limit" in (await rested(client, job_id))["notice"]
            world.time += 86_400
        await call(client, "resume_job", job_id=job_id, confirm=True)
        assert (await finish(client, job_id))["done"] == 30


async def stopped_at(world: World, client: Client, **settings: Any) -> tuple[str, str]:
    """Begin a live job of long answers that its limit stops; return its source and its id."""
    await world.set(**LONG)
    source = world.write("a.jsonl", ROWS)
    job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=LIMIT, **settings)
    await rested(client, job_id)
    return source, job_id


FREE_ROWS = [row(f"k{n}", f"Say {n}.") for n in range(60)]
"""Rows of which each can cost $0.24 in the live lane, and is thought to cost little."""


async def test_a_refusal_names_what_is_likely_and_the_most_and_a_setting_for_the_limit_that_refused(
    world: World,
) -> None:
    source = world.write("a.jsonl", FREE_ROWS)
    ask = {"source": source, "model": MODEL, "lane": "live", "max_cost_usd": 1}
    user = User("decline")
    async with world.client(elicitation_callback=user) as client:
        cost = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]
        told = await refusal(client, "create_batch", **ask)
    words = f"${cost['likely']:.2f} likely, perhaps ${cost['likely_high']:.2f}, ${cost['high']:.2f} at most"
    assert (words in told, words in user.asked[0]) == (True, True), (words, told, user.asked)
    assert f"up to ${cost['likely_high']:.2f}" in user.asked[0]
    assert float(told.split("would make it at most $")[1].rstrip(".")) <= 1, "the setting is for the limit of this call"


@pytest.mark.parametrize("is_stated", [True, False])
async def test_a_limit_that_is_stated_with_the_approval_is_the_limit(world: World, *, is_stated: bool) -> None:
    await world.set(drawn={"output_tokens": 60_000, "output_sigma": 0})
    source, stated = world.write("a.jsonl", FREE_ROWS), dict[str, Any](max_cost_usd=2.0) if is_stated else {}
    async with world.client(max_cost_usd=1) as client:
        high = (await call(client, "estimate_cost", source=source, model=MODEL, lane="live"))["cost_usd"]["high"]
        job_id = await start(client, source, lane="live", concurrency=4, confirm=True, **stated)
        assert accounts(world, job_id)[0].allowed == pytest.approx(2 if is_stated else high)
        if is_stated:
            await rested(client, job_id)
            assert 1 < charged(world.home) <= 2
            batch = await refusal(client, "create_batch", source=source, model=MODEL, confirm=True, max_cost_usd=2)
            usd = float(batch.split("max_cost_usd=")[1].split()[0].rstrip("."))
            assert await start(client, source, confirm=True, max_cost_usd=usd), "the amount that it names is enough"
        else:
            assert (await finish(client, job_id))["done"] == 60


async def test_a_yes_at_a_terminal_approves_the_amount_of_the_question(world: World) -> None:
    await world.set(drawn={"output_tokens": 60_000, "output_sigma": 0})
    source = world.write("a.jsonl", FREE_ROWS)
    command = ["run", source, "--model", MODEL, "--lane", "live", "--max-cost-usd", "1"]
    code, shown = answered(world, command, b"y\n")
    question = shown.split("[y/N]")[0].splitlines()[-1]
    usd = float(question.split("Start it, up to $")[1].split("?")[0])
    ledger = Ledger(world.home)
    [job] = ledger.jobs([row["id"] for row in ledger.rows("SELECT id FROM job")]).values()
    ledger.close()
    [account] = accounts(world, job.id)
    assert (code, account.allowed) == (6, pytest.approx(usd, abs=0.005)), shown
    assert 1 < charged(world.home) <= (account.allowed or 0)
    resume = ["resume", job.id]
    code, shown = answered(world, resume, b"n\n")
    assert (code, "It may cost up to $" in shown, charged(world.home) <= usd) == (6, True, True), shown
    code, shown = answered(world, resume, b"y\n")
    assert code in (0, 3), shown


def answered(world: World, command: list[str], typed: bytes) -> tuple[int, str]:
    """Run a command at a terminal, answer its first question, and return its exit code and what it showed."""
    terminal, theirs = os.openpty()
    whole = [sys.executable, "-m", "genai_batch", *command]
    env = world.env(TERM="dumb", COLUMNS="400")
    process = subprocess.Popen(whole, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=env, cwd=world.work)
    os.close(theirs)
    shown = b""
    with ending(process):
        with suppress(OSError):  # it has ended
            while part := os.read(terminal, 1_000):
                is_first = b"[y/N]" not in shown
                shown += part
                if is_first and b"[y/N]" in shown:
                    os.write(terminal, typed)
        process.communicate(timeout=50)
    os.close(terminal)
    return process.returncode, shown.decode()


@pytest.mark.parametrize("reason", ["key", "failures"])
async def test_what_no_limit_of_money_has_stopped_goes_on_without_a_question(world: World, reason: str) -> None:
    if reason == "key":
        await world.arm("http_error", call="generate", code=403, after=10, times=None)
    else:
        await world.arm("row", match={"prompt": "Say"}, outcome="blocked", times=None)
    items = [{"id": f"k{n}", "prompt": f"Say {n}."} for n in range(60)]
    manifest = {"model": MODEL, "stop_on_failures": 50, "lane": "live", "items": items}
    source, user = world.write("a.json", json.dumps(manifest)), User("decline")
    async with world.client() as client:
        job_id = (await call(client, "create_batch", source=source, max_cost_usd=5, concurrency=2))["job_id"]
        await rested(client, job_id)
        allowed = accounts(world, job_id)[0].allowed
    await world.admin("DELETE", "/faults")
    async with world.client(elicitation_callback=user) as client:
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["done"] == 60
    assert (user.asked, accounts(world, job_id)[0].allowed, charged(world.home) <= 5) == ([], allowed, True)


async def test_a_question_about_a_stopped_attempt_is_about_all_attempts_and_a_no_sends_nothing(world: World) -> None:
    await world.arm("row", match={"prompt": "Say 3"}, outcome="blocked", times=None)
    async with world.client() as client:
        source = world.write("a.jsonl", ROWS)
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=9.9)
        assert (await finish(client, job_id))["counts"]["blocked"] == 11
        await world.admin("DELETE", "/faults")
        await world.set(drawn={"output_tokens": 200_000, "output_sigma": 0})
        first = charged(world.home)
        ledger = Ledger(world.home)
        ledger.restate(ledger.job(job_id), first + 0.9)
        ledger.close()
        await call(client, "resume_job", job_id=job_id, rows=["k3", *(f"k{n}" for n in range(30, 40))])
        await rested(client, job_id)
    paid = charged(world.home)
    assert paid <= first + 0.9
    for action in ("decline", "accept"):
        user = User(action)
        async with world.client(elicitation_callback=user) as client:
            reply = await client.call_tool("resume_job", {"job_id": job_id})
            assert (reply.is_error, len(user.asked)) == (action == "decline", 1)
            assert f"above your limit of ${first + 0.9:.2f}" in user.asked[0]
            if action == "decline":
                await client.call_tool("check_status", {"job_id": job_id, "wait_s": 0.5})
                assert charged(world.home) == paid
    usd = float(user.asked[0].split("up to $")[1].split()[0])
    assert accounts(world, job_id)[1].allowed == pytest.approx(usd - first, abs=0.01)


def staged(world: World, rows: int = 40, **first: Any) -> str:
    """A manifest of two stages under one limit, the first of them live with long answers."""
    world.write("a.csv", "n\n" + "".join(f"{n}\n" for n in range(rows)))
    stages = [
        {"name": "one", "data": "a.csv", "key": "k{{ n }}", "prompt": "Say {{ n }}.", "lane": "live", **first},
        {"name": "two", "from": "one", "prompt": "{{ key }}"},
    ]
    return world.write("p.json", json.dumps({"model": MODEL, "max_cost_usd": 1.5, "stages": stages}))


@pytest.mark.parametrize("named", ["pipeline", "job"])
async def test_a_stopped_stage_asks_about_all_stages_and_their_limit(world: World, named: str) -> None:
    await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0})
    async with world.client() as client:
        begun = await call(client, "create_batch", source=staged(world))
        pipeline, job_id = begun["pipeline"]["id"], begun["job_id"]
        status = await rested(client, pipeline)
        paid = charged(world.home)
        assert status["pipeline"]["cost_usd"] == pytest.approx(paid), "what a stopped stage has paid counts"
    name = pipeline if named == "pipeline" else job_id
    async with world.client(elicitation_callback=(user := User("decline"))) as client:
        assert "declined" in await refusal(client, "resume_job", job_id=name)
        await call(client, "check_status", job_id=pipeline, wait_s=0.5)
        assert (charged(world.home), budget_of(world, pipeline)) == (paid, 1.5)
    assert "above your limit of $1.50" in user.asked[0]
    usd = float(user.asked[0].split("up to $")[1].split()[0])
    async with world.client(elicitation_callback=(user := User("accept"))) as client:
        await call(client, "resume_job", job_id=name)
        assert budget_of(world, pipeline) == pytest.approx(usd, abs=0.005)
        await finish(client, job_id)
    assert (len(user.asked), paid < charged(world.home) <= usd) == (1, True)


async def test_confirm_for_stages_approves_what_they_can_cost_at_most(world: World) -> None:
    await world.set(drawn={"output_tokens": 200_000, "output_sigma": 0})
    async with world.client(max_cost_usd=1) as client:
        begun = await call(client, "create_batch", source=staged(world, 10), confirm=True)
        assert (await finish(client, begun["job_id"]))["done"] == 10, "it does not stop at what is likely"


async def test_pilots_of_any_size_and_lane_count_against_the_limit_of_their_source(world: World) -> None:
    await world.set(drawn={"output_tokens": 20_000, "output_sigma": 0})
    source, limit = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(100)]), 8.0
    ask = {"source": source, "model": MODEL, "lane": "live", "max_cost_usd": limit}
    async with world.client() as client:
        for rows in (5, 10):
            assert "Nothing else was sent" in await refusal(client, "create_batch", pilot=rows, **ask)
        pilots = charged(world.home)
        assert f"Pilots of it take ${pilots:.2f}" in await refusal(client, "create_batch", **ask)
        begun = await call(client, "create_batch", **{**ask, "max_cost_usd": 8 + pilots, "confirm": True})
        assert accounts(world, begun["job_id"])[0].allowed == pytest.approx(8)
        await settled(client, begun["job_id"])
        assert charged(world.home) <= 8 + pilots
        small = {"source": source, "model": MODEL, "pilot": 20, "max_cost_usd": pilots + 0.01}
        assert "earlier pilots have left" in await refusal(client, "estimate_cost", **small)


@pytest.mark.parametrize("is_higher", [True, False])
async def test_a_limit_that_is_stated_while_a_live_job_runs_becomes_its_limit(world: World, *, is_higher: bool) -> None:
    await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0}, latency_s=0.3)
    source = world.write("a.jsonl", ROWS)
    first, second = (1.5, 50.0) if is_higher else (50.0, 0.5)
    ask = {"source": source, "model": MODEL, "lane": "live"}
    async with world.client() as client:
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=first)
    async with world.client() as other, world.client() as client:
        await call(other, "check_status", job_id=job_id)  # which drives it, or its neighbour does
        told = await call(client, "create_batch", max_cost_usd=second, **ask)
        assert f"Its limit is now ${second:.2f}; it was ${first:.2f}." in told["notice"]
        assert "limit is now" not in (await call(client, "create_batch", max_cost_usd=second, **ask)).get("notice", "")
        status = await settled(client, job_id)
    if is_higher:
        assert (status["done"], status["state"] in OVER, charged(world.home) > 1.5) == (40, True, True)
    else:
        assert ("its limit of $0.50" in status["notice"], status["done"] < 40) == (True, True), status
        paid = charged(world.home)
        assert (paid < 3, f"${paid:.2f} paid" in status["notice"]) == (True, True), "it stops within a second"


async def test_a_limit_above_that_of_the_user_needs_their_word_also_for_a_job_that_is_there(world: World) -> None:
    async with world.client(max_cost_usd=3) as client:
        source, job_id = await stopped_at(world, client)
        ask = {"source": source, "model": MODEL, "lane": "live", "max_cost_usd": 50}
        told = await call(client, "create_batch", **ask)
        assert "Its limit is now $3.00; it was $2.00. $50.00 is above the user's limit" in told["notice"]
        await rested(client, job_id)
        assert charged(world.home) <= 3
        await call(client, "create_batch", confirm=True, **ask)
        assert (await finish(client, job_id))["done"] == 40
        assert accounts(world, job_id)[0].allowed == 50


async def test_a_lower_limit_stops_the_batches_that_are_not_sent_yet(world: World) -> None:
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=100) for n in range(30)]
    source = world.write("a.jsonl", rows)
    cut = Cut(bytes=(world.work / source).stat().st_size // 3 + 50)
    async with world.client(cut=cut) as client:
        await world.arm("http_error", call="create", code=429, after=1, times=1)
        job_id = await start(client, source)
        told = await call(client, "create_batch", source=source, model=MODEL, max_cost_usd=0.0001)
        assert "Its limit is now $0.0001" in told["notice"]
        status = await rested(client, job_id)
        assert ("its limit of $0.0001" in status["notice"], len(await world.bill())) == (True, 1)
        await call(client, "create_batch", source=source, model=MODEL, max_cost_usd=5)
        assert (await finish(client, job_id))["done"] == 30


async def test_a_higher_limit_that_is_stated_for_stages_lets_them_go_on(world: World) -> None:
    await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0})
    async with world.client() as client:
        source = staged(world)
        begun = await call(client, "create_batch", source=source)
        pipeline = begun["pipeline"]["id"]
        await rested(client, pipeline)
        text = (world.work / source).read_text().replace('"max_cost_usd": 1.5', '"max_cost_usd": 50')
        told = await call(client, "create_batch", source=world.write(source, text), max_cost_usd=60)
        assert (told["pipeline"]["id"], budget_of(world, pipeline)) == (pipeline, 50)
        assert "Its limit is now $50.00; it was $1.50." in told["notice"]
        assert (await finish(client, begun["job_id"]))["done"] == 40
        await call(client, "create_batch", source=source, max_cost_usd=7)
        assert budget_of(world, pipeline) == 7


async def test_a_yes_at_a_terminal_lets_stages_cost_what_the_question_names(world: World) -> None:
    await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0})
    source = staged(world)
    code, shown = answered(world, ["run", source], b"y\n")
    usd = float(shown.split("Start it, up to $")[1].split("?")[0])
    ledger = Ledger(world.home)
    [pipeline] = [row["id"] for row in ledger.rows("SELECT id FROM pipeline")]
    ledger.close()
    assert "above your limit of $1.50" in shown
    assert (code in (0, 3, 6), budget_of(world, pipeline)) == (True, pytest.approx(usd, abs=0.005)), shown
    assert 1.5 < charged(world.home) <= usd


async def test_a_question_that_is_declined_starts_nothing_even_where_the_job_has_become_cheap(world: World) -> None:
    source = world.write("a.jsonl", FREE_ROWS)

    class Cheapening(User):
        async def __call__(self, _context: Any, params: Any) -> Any:
            world.write("a.jsonl", FREE_ROWS[:1])
            return await super().__call__(_context, params)

    async with world.client("legacy", elicitation_callback=Cheapening("decline"), max_cost_usd=0.5) as client:
        told = await refusal(client, "create_batch", source=source, model=MODEL, lane="live")
    assert ("declined" in told, await world.calls()) == (True, [])


async def test_a_stage_that_a_later_pipeline_has_too_asks_about_the_limit_that_pays_for_it(world: World) -> None:
    await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0})
    async with world.client() as client:
        source = staged(world)
        begun = await call(client, "create_batch", source=source)
        first = begun["pipeline"]["id"]
        await rested(client, begun["job_id"])
        world.time += 1
        text = (world.work / source).read_text().replace('"{{ key }}"', '"{{ key }} and more"').replace("1.5", "3")
        later = await call(client, "create_batch", source=world.write(source, text))
        assert (later["job_id"], later["pipeline"]["id"] != first) == (begun["job_id"], True)
        await call(client, "resume_job", job_id=begun["job_id"], confirm=True)
        assert (await finish(client, begun["job_id"]))["done"] == 40
        assert budget_of(world, first) > 1.5


async def test_the_command_says_that_a_limit_was_changed(world: World) -> None:
    async with world.client() as client:
        source, _ = await stopped_at(world, client)
    command = [sys.executable, "-m", "genai_batch", "create", source, "--model", MODEL, "--lane", "live", "--json"]
    done = subprocess.run(
        [*command, "--max-cost-usd", "9"],
        capture_output=True,
        text=True,
        timeout=50,
        env=world.env(),
        cwd=world.work,
        check=False,
    )
    assert "Its limit is now $9.00; it was $2.00." in json.loads(done.stdout)["notice"], done.stderr
