"""An owner falls asleep (a laptop lid, a stopped container) for longer than its lease, in the middle of a step.

Another process takes over; on waking the first goes on with its step, and nothing is lost, repeated or paid twice.
"""

import json
import os
import signal
import time
from functools import partial
from typing import Any

from genai_batch.resources.requests import Cut
from tests.drivers import LAPSE_S, RESENT_S, Ask, Script, strike, to_the_end, whole
from tests.killing import Ring
from tests.test_kills import IN_SHARD, LINE, done_well, many_rows
from tests.test_kills import ring as ring
from tests.world import row


def asleep_at(ring: Ring, script: Script, step: str, moment: int = 1) -> int:
    """A driver that has fallen asleep at a step."""
    driver = ring.start(script, partial(strike, ring.world.home, moment, signal.SIGSTOP, ring.log, step))
    assert os.WIFSTOPPED(ring.wait(driver, os.WUNTRACED))
    time.sleep(LAPSE_S + 0.1)
    return driver


def meanwhile(ring: Ring, script: Script) -> dict[str, Any]:
    """Another driver comes, waits for the file that the sleeper holds, and gets to the end once that one is awake."""
    driver, *_ = ring.drivers
    ring.start(script)
    time.sleep(LAPSE_S)
    assert not ring.over(), "stored beside the sleeper"
    os.kill(driver, signal.SIGCONT)
    for pid in list(ring.drivers):
        ring.wait(pid)
    return ring.undisturbed(script)


def wake(ring: Ring, driver: int) -> None:
    """Let it go on, to its end; whether it fails in that is another matter."""
    os.kill(driver, signal.SIGCONT)
    ring.wait(driver)


def test_storing_the_first_batch_late_does_not_replace_the_rows_of_all(ring: Ring) -> None:
    ring.cut = Cut(bytes=IN_SHARD * LINE)
    rows = many_rows(ring)[: 2 * IN_SHARD]
    script = partial(whole, source=ring.source(rows))
    asleep_at(ring, script, "os.rename", 2)  # the first puts requests.jsonl in its place
    done_well(ring, meanwhile(ring, script), rows)


def test_storing_a_later_batch_late_does_not_cut_off_the_rows_behind_it(ring: Ring) -> None:
    ring.cut = Cut(bytes=IN_SHARD * LINE)
    rows = many_rows(ring)[: 3 * IN_SHARD]
    script = partial(whole, source=ring.source(rows))
    asleep_at(ring, script, "results.jsonl', 'r+'")
    done_well(ring, meanwhile(ring, script), rows)


def test_closing_late_does_not_end_the_next_attempt(ring: Ring) -> None:
    rows = [row(f"k{n}") for n in range(60)]
    script = partial(whole, source=ring.source(rows))
    driver = asleep_at(ring, script, "results.db")
    job_id = ring.undisturbed(script)["job_id"]
    ring.admin("/settings", {"queue_s": 4})
    assert ring.undisturbed(partial(sent_again, job_id=job_id, rows=["k1"]))["state"] == "JOB_STATE_PENDING"
    wake(ring, driver)
    ring.undisturbed(partial(followed, job_id=job_id))
    assert ring.keys(job_id).count("k1") == 2, "the second answer is paid and not here"


def test_resuming_late_does_not_rewrite_what_another_has_sent(ring: Ring) -> None:
    ring.admin("/faults", {"fault": "row", "match": {"key": "^k[1-3]$"}, "times": 1})
    rows = [row(f"k{n}") for n in range(60)]
    job_id = ring.undisturbed(partial(whole, source=ring.source(rows)))["job_id"]
    driver = asleep_at(ring, partial(sent_again, job_id=job_id, rows="unfinished"), "requests.1")
    ring.undisturbed(partial(sent_again, job_id=job_id, rows=["k7"]))
    wake(ring, driver)
    sent = (ring.world.home / "jobs" / job_id / "requests.1.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in sent] == ["k7"]


def test_a_create_that_slept_before_it_was_sent_is_not_sent_beside_its_repetition(ring: Ring) -> None:
    """What has left a process cannot be called back; up to the first byte it can."""
    rows = [row(f"k{n}") for n in range(20)]
    script = partial(whole, source=ring.source(rows))
    driver = asleep_at(ring, script, "socket.connect")
    time.sleep(RESENT_S)
    ring.undisturbed(script)
    wake(ring, driver)
    assert len(ring.bill()) == 1


async def sent_again(ask: Ask, job_id: str, rows: Any) -> dict[str, Any]:
    """Resume a job."""
    return await ask("resume_job", job_id=job_id, rows=rows)


async def followed(ask: Ask, job_id: str) -> dict[str, Any]:
    """Follow a job to its end."""
    return await to_the_end(ask, await ask("check_status", job_id=job_id))
