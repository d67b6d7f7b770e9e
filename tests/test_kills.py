"""Processes are killed and stopped at random moments, again and again: nothing is paid twice, no row lost or repeated.

`make test` kills some dozens, `make soak` a thousand; every test prints its counts.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genai_batch.resources.ledger import Ledger
from genai_batch.resources.requests import Cut
from genai_batch.resources.results import Results, read_results
from tests.drivers import Ask, Dress, Refused, Script, command_line, host, strike, to_the_end, whole
from tests.killing import Ring
from tests.world import MODEL, World, row

ROWS = 60
SHARDS, IN_SHARD = 5, 55
"""More rows than are sent inline, so that each batch has an upload of its own."""
LINE, TOKENS = 105, 5
"""Bytes of a line, and how the emulator counts its prompt."""
STEPS = 32
"""About how many steps a job of two batches takes."""
FAILED = ("k000", "k001", "k002")
ALL = [(1, command_line), (3, command_line), (1, host), (3, host)]
as_drivers = partial(pytest.mark.parametrize, ("at_once", "dress"), ids=lambda given: getattr(given, "__name__", given))


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    """How many processes each test kills."""
    return int(str(pytestconfig.getoption("--kills")))


@pytest.fixture
def ring(tmp_path: Path, emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Ring]:
    """A home without drivers; whatever happens, none is left."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator_url)
    (tmp_path / "work").mkdir()
    made = Ring(World(tmp_path / "work", tmp_path / "home"), emulator_url, random.Random(1))  # noqa: S311 - no secret
    made.admin("/settings", {"queue_s": 0.05, "run_s": 0.1})
    yield made
    made.clear()


@as_drivers(ALL)
def test_killed_drivers_never_pay_twice_and_never_lose_or_repeat_a_row(
    ring: Ring, at_once: int, dress: Dress, kills: int
) -> None:
    ring.dress = dress
    while ring.killed < kills:
        rows = [row(f"k{n}", f"Round {ring.rounds}, row {n}.") for n in range(ROWS)]
        script = partial(whole, source=ring.source(rows))
        ring.harass(lambda script=script: script, at_once, kills)
        done_well(ring, ring.undisturbed(script), rows)
    ring.report(f"a job, {at_once} at once, {dress.__name__}")
    assert (len(ring.bill()), ring.rows_sent_twice()) == (ring.rounds, 0)


def test_killed_drivers_send_equal_requests_once_and_every_row_gets_its_answer(ring: Ring, kills: int) -> None:
    distinct = 3 * ROWS // 4
    while ring.killed < kills:
        rows = [row(f"k{n}", f"Round {ring.rounds}, row {n % distinct}.") for n in range(ROWS)]
        script = partial(whole, source=ring.once(rows))
        ring.harass(lambda script=script: script, 1, kills)
        status = ring.undisturbed(script)
        done_well(ring, status, rows[:distinct])
        answers = answers_of(ring, status["job_id"])
        assert [*answers] == [line["key"] for line in rows]
        assert all(f"row {n % distinct}." in answers[f"k{n}"] for n in range(ROWS))
    ring.report("equal requests")
    assert (len(ring.bill()), ring.rows_sent_twice()) == (ring.rounds, 0)


@as_drivers(ALL[::3])
def test_killed_drivers_send_each_wave_once(ring: Ring, at_once: int, dress: Dress, kills: int) -> None:
    in_waves(ring, dress)
    while ring.killed < kills:
        rows = many_rows(ring)
        script = partial(whole, source=ring.source(rows))
        ring.harass(lambda script=script: script, at_once, kills, 0.25)
        done_well(ring, ring.undisturbed(script), rows)
    ring.report(f"waves, {at_once} at once, {dress.__name__}")
    assert (len(ring.bill()), ring.rows_sent_twice()) == (SHARDS * ring.rounds, 0)


@as_drivers(ALL[1:2])
def test_killed_drivers_lose_nothing_of_what_arrives_slowly_and_leave_no_half_index(
    ring: Ring, at_once: int, dress: Dress, kills: int
) -> None:
    ring.admin("/faults", {"fault": "slow_download", "delay_s": 0.02, "piece_bytes": 8_000, "times": None})
    in_waves(ring, dress)
    while ring.killed < kills:
        rows = many_rows(ring)
        script = partial(whole, source=ring.source(rows))
        ring.harass(lambda script=script: script, at_once, kills, 0.25)
        status = ring.undisturbed(script)
        done_well(ring, status, rows)
        indexed_well(ring, status["job_id"], [each["key"] for each in rows])
    ring.report(f"slow downloads, {at_once} at once, {dress.__name__}")


@as_drivers(ALL[1:3])
def test_killed_drivers_send_rows_again_once(ring: Ring, at_once: int, dress: Dress, kills: int) -> None:
    """In each round a batch fails, and in another rows do; both are sent again, as two batches."""
    in_waves(ring, dress)
    while ring.killed < kills:
        rows = many_rows(ring)
        ring.admin("/faults", {"fault": "row", "match": {"key": f"^({'|'.join(FAILED)})$"}, "times": 1})
        ring.admin("/faults", {"fault": "fail", "after": 2})
        script = partial(resumed, source=ring.source(rows))
        ring.harass(lambda script=script: script, at_once, kills, 0.25)
        status = ring.undisturbed(script)
        assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": len(rows)}), status
        found = Counter(ring.keys(status["job_id"]))
        assert {key for key, times in found.items() if times == 2} == set(FAILED)
        assert (len(found), found.total()) == (len(rows), len(rows) + len(FAILED)), "lost or repeated"
    ring.report(f"resume, {at_once} at once, {dress.__name__}")
    sent = sum(batch["requests"] for batch in ring.bill())
    assert (len(ring.bill()), sent) == (
        (SHARDS + 2) * ring.rounds,
        ((SHARDS + 1) * IN_SHARD + len(FAILED)) * ring.rounds,
    )


@as_drivers(ALL[::3])
def test_killed_drivers_cancel_a_job_and_keep_what_is_paid(ring: Ring, at_once: int, dress: Dress, kills: int) -> None:
    in_waves(ring, dress)
    ring.admin("/settings", {"run_s": 1, "cancel_s": 0.2})
    ends: Counter[str] = Counter()
    while ring.killed < kills:
        rows = many_rows(ring)
        job_id = broken_off(ring, partial(begun, source=ring.source(rows)))
        ring.harass(lambda job_id=job_id: cancelling(ring, job_id), at_once, kills)
        status = ring.undisturbed(partial(cancelled, job_id=job_id, patience=0))
        kept_whole(ring, status, len(rows))
        ends[status["state"]] += 1
    ring.report(f"cancel, {at_once} at once, {dress.__name__}", f"{dict(ends)}")
    assert ring.rows_sent_twice() == 0


def test_an_owner_that_slept_beyond_its_lease_does_nothing_twice(ring: Ring, kills: int) -> None:
    """Who holds the lease is stopped until another has taken over, and then goes on where it stood."""
    in_waves(ring, host)
    ring.admin("/settings", {"run_s": 0.5})
    stops = taken = 0
    while stops < max(3, kills / 5):
        rows = many_rows(ring)
        script = partial(whole, source=ring.source(rows))
        for _ in range(3):
            ring.start(script)
        while stops < max(3, kills / 5) and (asleep := ring.stop_an_owner()):
            stops += 1
            taken += ring.taken_over(asleep)
            os.kill(asleep, signal.SIGCONT)
        ring.let_end()
        done_well(ring, ring.undisturbed(script), rows)
    ring.report("stops, 3 at once, host", f"{stops} owners stopped, {taken} taken over")
    assert (len(ring.bill()), ring.rows_sent_twice()) == (SHARDS * ring.rounds, 0)
    assert taken


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGSTOP], ids=lambda stop: stop.name)
def test_a_driver_that_is_stopped_at_any_step_on_disk_or_to_the_network_harms_nothing(
    ring: Ring, stop: signal.Signals, kills: int
) -> None:
    """Not at random: at each file it opens or renames in its home, and at each connection, one after another."""
    ring.cut = Cut(bytes=IN_SHARD * LINE)
    struck = 0
    for moment in range(1, 200) if kills >= 50 else sorted(ring.chance.sample(range(1, STEPS), 3)):
        rows = many_rows(ring)[: 2 * IN_SHARD]
        script = partial(whole, source=ring.source(rows))
        victim = ring.start(script, partial(strike, ring.world.home, moment, stop, ring.log))
        if os.WIFEXITED(status := ring.wait(victim, os.WUNTRACED)):
            ring.ended(status)
            break
        struck += 1
        if stop == signal.SIGSTOP:
            ring.overtake(victim, script)
        else:
            ring.ended(status)
        done_well(ring, ring.undisturbed(script), rows)
    ring.report(f"{stop.name} at each step", f"{struck} steps")
    assert len(ring.bill()) == 2 * ring.rounds
    assert ring.rows_sent_twice() == 0


async def begun(ask: Ask, source: Path) -> dict[str, Any]:
    """Start a job."""
    return await ask("create_batch", source=str(source), model=MODEL)


async def resumed(ask: Ask, source: Path) -> dict[str, Any]:
    """Run a job and send again what did not come out well, until all of it has."""
    status = await whole(ask, source)
    while set(status["counts"]) != {"ok"}:
        try:
            await ask("resume_job", job_id=status["job_id"])
        except Refused as refused:  # another driver has done it
            if not any(why in f"{refused}" for why in ("still under way", "taken up elsewhere", "Nothing to send")):
                raise
        status = await to_the_end(ask, await ask("check_status", job_id=status["job_id"]))
    return status


def broken_off(ring: Ring, script: Script) -> str:
    """Kill a driver while it starts a job, whose id is returned; if it has not come that far, start it undisturbed."""
    driver = ring.start(script)
    time.sleep(ring.chance.uniform(0.05, 0.4))
    ring.kill(driver)
    begun = ring.asked("SELECT count(*) FROM job") == ring.rounds
    return ring.asked("SELECT id FROM job ORDER BY created_at DESC") if begun else ring.undisturbed(script)["job_id"]


def cancelling(ring: Ring, job_id: str) -> Script:
    """What a driver does that cancels the job after a random while."""
    return partial(cancelled, job_id=job_id, patience=ring.chance.randrange(6))


async def cancelled(ask: Ask, job_id: str, patience: int) -> dict[str, Any]:
    """Look at a job some times, cancel it, follow it to its end."""
    for _ in range(patience):
        await ask("check_status", job_id=job_id, wait_s=0.05)
    return await to_the_end(ask, await ask("cancel_job", job_id=job_id))


def in_waves(ring: Ring, dress: Dress) -> None:
    """Cut every job into `SHARDS` batches, of which the emulator takes two at a time."""
    ring.dress, ring.cut = dress, Cut(bytes=IN_SHARD * LINE)
    ring.admin("/settings", {"enqueued_tokens": IN_SHARD * TOKENS * 5 // 2})


def many_rows(ring: Ring) -> list[dict[str, Any]]:
    """Rows for `SHARDS` batches, every line `LINE` bytes long."""
    return [row(f"k{n:03}", f"Round {ring.rounds:03}, row {n:03}.") for n in range(SHARDS * IN_SHARD)]


def done_well(ring: Ring, status: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The job has succeeded, and each row is there once."""
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": len(rows)}), status
    assert ring.keys(status["job_id"]) == sorted(each["key"] for each in rows), "lost or repeated"


def indexed_well(ring: Ring, job_id: str, keys: list[str]) -> None:
    """The index finds each row, and nothing that was meant for a while is left."""
    with closing(Ledger(ring.world.home)) as ledger:
        found = read_results(
            ring.world.home, ledger.job(job_id), lambda results: [results.row(results.entry(key)) for key in keys]
        )
    assert [row["key"] for row in found] == keys
    assert not [path for path in (ring.world.home / "jobs" / job_id).iterdir() if path.suffix in (".part", ".ahead")]


def answers_of(ring: Ring, job_id: str) -> dict[str, str]:
    """The text of every row, by key and in order."""

    def texts(results: Results) -> dict[str, str]:
        rows = (results.result(entry) for entry in results.page(None, 0, ROWS))
        return {row.key: row.text or "" for row in rows}

    with closing(Ledger(ring.world.home)) as ledger:
        return read_results(ring.world.home, ledger.job(job_id), texts)


def kept_whole(ring: Ring, status: dict[str, Any], rows: int) -> None:
    """What the emulator finished is here, once and whole; nothing is at work there any more."""
    batches = ring.bill(status["job_id"])
    assert {batch["state"] for batch in batches} <= {"SUCCEEDED", "CANCELLED"}, batches
    paid = sum(batch["requests"] for batch in batches if batch["state"] == "SUCCEEDED")
    keys = ring.keys(status["job_id"]) if paid else []
    assert (len(keys), len(set(keys))) == (paid, paid), "lost or repeated"
    assert (status["counts"].get("ok", 0), status["counts"].get("missing", 0)) == (paid, rows - paid), status
    whole_or_part = {rows: "SUCCEEDED", 0: "CANCELLED"}.get(paid, "PARTIALLY_SUCCEEDED")
    assert status["state"] == f"JOB_STATE_{whole_or_part}", (status, batches)
