"""A process that was killed on this machine is known to be gone at once; one that sleeps, or is elsewhere, is not."""

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genai_batch.resources import owners, uploads
from genai_batch.resources.ledger import LEASE_S, Ledger
from genai_batch.resources.leftovers import AGE_S, sweep
from genai_batch.resources.local_files import LocalFile
from genai_batch.resources.tokens.headers import Seen
from tests import drivers
from tests.benchmarks.answering import answering
from tests.drivers import Ask, Dress, command_line, host
from tests.killing import Ring
from tests.test_ledger import job
from tests.test_live_kills import lived
from tests.world import World, row


def killed(home: Path, act: str = "") -> str:
    """The name of an owner that was killed while it held the lease on every job."""
    code = f"""
import sys, time
from pathlib import Path
from genai_batch.resources.ledger import Ledger
ledger = Ledger(Path({str(home)!r}))
for job in ledger.open_jobs():
    assert ledger.claim(job.id, {time.time()!r})
{act}
print(ledger.owner, flush=True)
time.sleep(60)
"""
    read, write = os.pipe()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", code], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)]
    )
    os.close(write)
    with os.fdopen(read) as said:
        name = said.readline().strip()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return name


def test_the_lease_of_a_killed_process_is_free_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as here, closing(Ledger(tmp_path)) as other:
        made = here.record(*job(), again=False)
        owner = killed(tmp_path)
        assert here.held(made.id, time.time()) == (owner, pytest.approx(time.time() + LEASE_S, abs=10))
        assert here.is_orphaned(made.id, time.time())
        assert here.claim(made.id, time.time())
        assert not other.claim(made.id, time.time())
        assert not other.is_orphaned(made.id, time.time())


def test_the_upload_of_a_killed_process_is_free_too(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as here, closing(Ledger(tmp_path)) as other:
        file = LocalFile("c" * 64, tmp_path / "a.png", 3, "image/png", "k", Seen())
        act = f"""
from genai_batch.resources import uploads
from genai_batch.resources.local_files import LocalFile
from genai_batch.resources.tokens.headers import Seen
file = LocalFile("c" * 64, Path("a.png"), 3, "image/png", "k", Seen())
assert uploads.claim(ledger, file, "me", {time.time()!r})
"""
        assert killed(tmp_path, act)
        assert uploads.claim(here, file, "me", time.time())
        assert not uploads.claim(other, file, "me", time.time())


def test_an_owner_of_another_machine_or_of_an_earlier_version_is_judged_by_its_lease_alone(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as here:
        made = here.record(*job(), again=False)
        owner = killed(tmp_path)
        (lock,) = (tmp_path / owners.FOLDER).glob(f"{owner}.*")
        lock.rename(lock.with_name(f"{owner}.elsewhere.lock"))
        assert not here.claim(made.id, time.time())
        assert here.claim(made.id, time.time() + LEASE_S + 1)


def test_where_locks_cannot_be_had_leases_lapse_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "FOLDER", "ledger.db")  # no folder can be made there
    with closing(Ledger(tmp_path)) as here, closing(Ledger(tmp_path)) as other:
        made = here.record(*job(), again=False)
        assert here.claim(made.id, 100)
        assert not other.claim(made.id, 101)
        assert other.claim(made.id, 101 + LEASE_S)


def test_a_process_that_ends_well_leaves_no_lock_and_old_ones_are_swept(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as here:
        here.record(*job(), again=False)
        twin = here.twin()
        here.claim("job_x", 0)
        twin.close()
        assert not here.is_gone(here.owner), "its twin does not let go of it"
        killed(tmp_path)
        sweep(tmp_path, time.time())
        assert len(list((tmp_path / owners.FOLDER).iterdir())) == 2
        sweep(tmp_path, time.time() + 2 * AGE_S)
        assert [path.name.startswith(here.owner) for path in (tmp_path / owners.FOLDER).iterdir()] == [True]
    assert not list((tmp_path / owners.FOLDER).iterdir())


@pytest.fixture
def real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers have the clock of everybody: a lease lapses after 30 s."""
    monkeypatch.setattr(drivers, "fast_time", time.time)


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("dress", [command_line, host], ids=lambda each: each.__name__)
def test_a_killed_driver_of_a_live_job_is_overtaken_within_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dress: Dress
) -> None:
    (tmp_path / "work").mkdir()
    with answering(0.05, counts=False) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        ring = Ring(World(tmp_path / "work", tmp_path / "home"), url, random.Random(1), dress)  # noqa: S311 - no secret
        overtaken(partial(live_overtaken, ring), f"live, {dress.__name__}")


def live_overtaken(ring: Ring) -> float:
    """Kill the driver of a live job while another waits, and measure the seconds until more rows are stored."""
    script = partial(lived, source=ring.source([row(f"k{n}", f"{ring.rounds}: {n}.") for n in range(4_000)]))
    before = stored(ring)
    first = ring.start(script)
    wait_for(lambda: stored(ring) > before, "rows are stored")
    ring.start(script)
    wait_for(lambda: ring.holder() == first, "the first driver has the lease")
    time.sleep(1.5)
    os.kill(first, signal.SIGSTOP)
    assert ring.holder() == first
    ring.kill(first)
    began, before = time.monotonic(), stored(ring)
    wait_for(lambda: stored(ring) > before, "more rows are stored")
    seconds = time.monotonic() - began
    ring.clear()
    return seconds


def stored(ring: Ring) -> int:
    return sum(path.stat().st_size for path in ring.world.home.glob("jobs/*/results.jsonl"))


@pytest.fixture
def emulated(tmp_path: Path, emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Ring]:
    """A home whose drivers send batches to an emulator that takes long for an upload."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator_url)
    (tmp_path / "work").mkdir()
    ring = Ring(World(tmp_path / "work", tmp_path / "home"), emulator_url, random.Random(1))  # noqa: S311 - no secret
    yield ring
    ring.clear()


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("dress", [command_line, host], ids=lambda each: each.__name__)
def test_a_killed_driver_of_a_batch_is_overtaken_within_two_seconds(emulated: Ring, dress: Dress) -> None:
    emulated.dress = dress
    overtaken(partial(batch_overtaken, emulated), f"batch, {dress.__name__}")


def batch_overtaken(ring: Ring) -> float:
    """Kill the driver of a batch in the middle of an upload, and measure the seconds until another has sent it."""
    ring.admin("/faults", {"fault": "slow", "call": "upload_start", "delay_s": 60, "times": 1})
    source = ring.source([row(f"k{n}", f"{ring.rounds}: {n}.") for n in range(60)])

    async def sent(ask: Ask) -> dict[str, Any]:
        return await ask("create_batch", source=str(source), model="gemini-3.8-flash")

    async def followed(ask: Ask) -> None:
        while True:
            for job_id in [path.name for path in ring.world.home.glob("jobs/job_*")]:
                await ask("check_status", job_id=job_id, wait_s=0.2)

    driver = ring.start(sent)
    wait_for(lambda: ring.admin("/faults")["armed"][-1]["struck"], "the upload has begun")
    ring.start(followed)
    time.sleep(1)
    assert ring.holder() == driver
    began, before = time.monotonic(), len(ring.bill())
    ring.kill(driver)
    wait_for(lambda: len(ring.bill()) > before, "a batch was made")
    seconds = time.monotonic() - began
    ring.clear()
    return seconds


def overtaken(measure: Callable[[], float], what: str) -> None:
    """Measure once: far below what a lease lasts, however busy the machine is."""
    seconds = measure()
    print(f"{what}: overtaken in {seconds:.2f} s")  # noqa: T201 - the figure is the result
    assert seconds < LEASE_S / 2


def wait_for(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            if condition():
                return
        except sqlite3.Error:
            pass
        assert time.monotonic() < until, what
        time.sleep(0.005)
