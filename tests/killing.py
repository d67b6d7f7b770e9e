"""Real processes that work on one home, and what is done to them: killed or stopped at random moments, then counted."""

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import anyio

from genai_batch.resources.requests import Cut
from genai_batch.server.settings import Settings
from genai_batch.tools.lanes.means import Pace
from tests.drivers import LAPSE_S, STUCK_S, Dress, Script, command_line
from tests.world import World


@dataclass
class Ring:
    """A home, the emulator at `url`, and the drivers at work there. Chance decides what befalls them, and when."""

    world: World
    url: str
    chance: random.Random
    dress: Dress = command_line
    cut: Cut | None = None
    limit_usd: float = 100
    killed: int = 0
    rounds: int = 0
    drivers: list[int] = field(default_factory=list[int])

    @property
    def settings(self) -> Settings:
        """What every driver is given."""
        pace = Pace(0.01, 0.01, 0.01)
        return Settings(
            "gemini", "any key", self.world.home, None, max_cost_usd=self.limit_usd, pace=pace, cut=self.cut
        )

    @property
    def log(self) -> Path:
        """What drivers say on stderr."""
        return self.world.work / "drivers.log"

    def source(self, rows: list[dict[str, Any]]) -> Path:
        """Write the source of the next job."""
        self.rounds += 1
        return self.world.work / self.world.write(f"{self.rounds}.jsonl", rows)

    def once(self, rows: list[dict[str, Any]]) -> Path:
        """Write a manifest of the next job, which sends equal requests once."""
        self.rounds += 1
        items = [{"id": each["key"], "request": each["request"]} for each in rows]
        return self.world.work / self.world.write(f"{self.rounds}.json", json.dumps({"dedupe": True, "items": items}))

    async def play(self, script: Script) -> Any:
        """Do what a driver does, in this process; who is stuck fails."""
        with anyio.fail_after(STUCK_S):
            async with self.dress(self.settings) as ask:
                return await script(ask)

    def undisturbed(self, script: Script) -> Any:
        """Let one driver, this process, come to the end."""
        return anyio.run(self.play, script)

    def start(self, script: Script, first: Callable[[], None] = lambda: None) -> int:
        """Fork a driver, which does `first` before anything else."""
        if pid := os.fork():
            self.drivers.append(pid)
            return pid
        code = 1
        try:
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            first()
            anyio.run(self.play, script)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of a driver may get into the test's own run
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def kill(self, pid: int) -> bool:
        """Kill a driver and say whether it was still at work; one that has failed by itself fails the test."""
        os.kill(pid, signal.SIGKILL)  # it is not waited for yet, so the id is still its own
        return self.ended(self.wait(pid))

    def ended(self, status: int) -> bool:
        """Whether a driver ended by a kill; otherwise it has come to the end of its script."""
        by_signal = os.WIFSIGNALED(status)
        assert by_signal or os.WEXITSTATUS(status) == 0, self.log.read_text()[-4_000:]
        self.killed += by_signal
        return by_signal

    def wait(self, pid: int, options: int = 0) -> int:
        """Wait until a driver has ended, or with WUNTRACED been stopped, and return its wait status."""
        until = time.monotonic() + STUCK_S + 10
        while time.monotonic() < until:
            found, status = os.waitpid(pid, os.WNOHANG | options)
            if found and not os.WIFSTOPPED(status):
                self.drivers.remove(pid)
            if found:
                return status
            time.sleep(0.01)
        raise AssertionError(f"driver {pid} is stuck: {self.log.read_text()[-4_000:]}")

    def let_end(self) -> None:
        """Wait until every driver has come to its end by itself."""
        for pid in list(self.drivers):
            assert not self.ended(self.wait(pid))

    def harass(
        self,
        script: Callable[[], Script],
        at_once: int,
        most: int,
        gap: float = 0.15,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep `at_once` drivers on a job, kill one at a random moment after `begun` returns, again and again.

        It ends when a driver has come to the end, or once `most` have been killed in all.
        """
        until = time.monotonic() + STUCK_S
        for _ in range(at_once):
            self.start(script())
        while self.killed < most:
            begun()
            time.sleep(self.chance.expovariate(1 / gap))  # the random moment is the point; nothing is waited for
            if not self.kill(self.chance.choice(self.drivers)):
                break
            assert time.monotonic() < until, f"no driver comes to the end: {self.log.read_text()[-4_000:]}"
            self.start(script())
        self.clear()

    def clear(self) -> None:
        """Kill every driver."""
        for pid in list(self.drivers):
            self.kill(pid)

    def stop_an_owner(self) -> int:
        """Stop the driver that holds a lease at a random moment; 0 when the job is over before there is one."""
        time.sleep(self.chance.expovariate(1 / 0.1))
        until = time.monotonic() + STUCK_S
        while not self.over():
            assert time.monotonic() < until, f"nobody drives the job: {self.log.read_text()[-4_000:]}"
            if (pid := self.holder()) in self.drivers:
                os.kill(pid, signal.SIGSTOP)
                if self.holder() == pid:
                    return pid
                os.kill(pid, signal.SIGCONT)  # it has let go in between
            time.sleep(0.001)
        return 0

    def taken_over(self, asleep: int) -> bool:
        """Wait until another has taken the lease, or a little longer than it lasts."""
        until = time.monotonic() + LAPSE_S + self.chance.uniform(0.2, 0.7)
        while time.monotonic() < until:
            if self.holder() not in (0, asleep):
                return True
            time.sleep(0.001)
        return False

    def overtake(self, asleep: int, script: Script) -> None:
        """Let another driver work for longer than the lease of a stopped one, which then goes on; both come to the end.

        It sleeps less than the time after which a create that nobody has seen is sent again: what a process has handed
        to its own machine's network before it fell asleep cannot be called back.
        """
        self.start(script)
        time.sleep(LAPSE_S + 0.7)
        os.kill(asleep, signal.SIGCONT)
        self.let_end()

    def over(self) -> bool:
        """Whether every job on record is over."""
        return self.asked("SELECT count(ended_at) FROM job") == self.rounds

    def holder(self) -> int:
        """The process that holds a lease just now; 0 for none."""
        owner = self.asked("SELECT max(lease_owner) FROM job WHERE ended_at IS NULL")
        return int(owner.partition("-")[0]) if owner else 0

    def asked(self, sql: str) -> Any:
        """One value from the ledger, or None before there is one."""
        path = f"file:{self.world.home / 'ledger.db'}?mode=ro"
        try:
            with closing(sqlite3.connect(path, uri=True, timeout=20)) as ledger:
                return ledger.execute(sql).fetchone()[0]
        except sqlite3.OperationalError:
            return None

    def admin(self, path: str, body: Any = None) -> Any:
        """Call the emulator's admin endpoint."""
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}/emulator{path}", data=data), timeout=20) as reply:  # noqa: S310 - loopback
            return json.load(reply)

    def bill(self, job_id: str = "") -> list[dict[str, Any]]:
        """The batches the emulator has made, for one job or for all."""
        batches = [batch for bill in self.admin("/billing").values() for batch in bill["batches"]]
        return [batch for batch in batches if job_id in batch["display_name"]]

    def rows_sent_twice(self) -> int:
        """How many rows the emulator has accepted in more than one batch."""
        return sum(bill["rows_accepted_more_than_once"] for bill in self.admin("/billing").values())

    def keys(self, job_id: str) -> list[str]:
        """The keys of a job's rows as they lie on disk, every line whole."""
        text = (self.world.home / "jobs" / job_id / "results.jsonl").read_text()
        assert text.endswith("\n")
        rows = map(json.loads, text.splitlines())
        return sorted(row.get("key") or row["metadata"]["key"] for row in rows)  # a file's row, or one sent inline

    def report(self, what: str, *more: str) -> None:
        """Say the counts, and that no batch was made twice."""
        made = Counter(batch["display_name"] for batch in self.bill())
        counts = (
            f"{self.killed} kills, {self.rounds} jobs, {len(made)} batches, {self.rows_sent_twice()} rows sent twice"
        )
        print("; ".join((what, counts, *more)), file=sys.stderr)  # noqa: T201 - the counts are the result
        assert set(made.values()) <= {1}, made
