"""A home on a disk that cannot be written: told clearly, nothing is lost or sent, and it goes on once it can be."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.world import MODEL, World, row

ROWS = [row(f"k{n}", f"Prompt number {n}.") for n in range(80)]
CREATE = "create a.jsonl --model MODEL --confirm"
COMMANDS = ["list", "status JOB", "results JOB", CREATE, "resume JOB --key k1", "serve"]
PR_CAPBSET_DROP, CAPABILITIES = 24, 64


def mere_user() -> None:
    """Root may write anywhere: take its capabilities from what is executed next, so that modes count for it too."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in range(CAPABILITIES):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def set_modes(home: Path, *, writable: bool) -> None:
    """Make everything in a home, and the home, read-only or writable."""
    for path in (home, *home.rglob("*")):
        path.chmod((0o700 if writable else 0o555) if path.is_dir() else (0o600 if writable else 0o444))


class Machine:
    """A machine whose home can be made read-only, and the emulator as the network."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.env = world.env(GENAI_BATCH_BACKEND="gemini", GEMINI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=url)

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours as a user whom modes hold back."""
        return subprocess.run(
            [sys.executable, "-m", "genai_batch", *command.replace("MODEL", MODEL).split()], env=self.env | env,
            cwd=self.world.work, capture_output=True, text=True, timeout=60, check=False, preexec_fn=mere_user,
        )  # fmt: skip

    def answer(self, command: str) -> dict[str, Any]:
        """Run a command that succeeds."""
        done = self.run(f"{command} --json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def refused(self, command: str, **env: str) -> None:
        """Run a command that cannot be done in this home; it says so in one line, with the way out."""
        done = self.run(command, **env)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), (done.stdout, done.stderr)
        home = env.get("GENAI_BATCH_HOME", str(self.world.home))
        assert home in done.stderr
        assert "set GENAI_BATCH_HOME to a folder that can be written" in done.stderr


@pytest.fixture
def machine(tmp_path: Path, emulator_url: str) -> Generator[Machine]:
    """A machine with a source and an empty home, which can be cleaned up afterwards."""
    world = World(tmp_path / "work", tmp_path / "home")
    world.work.mkdir()
    world.home.mkdir(mode=0o700)
    world.write("a.jsonl", ROWS)
    yield Machine(world, emulator_url)
    set_modes(world.home, writable=True)


@pytest.mark.parametrize("command", [CREATE, "list", "serve"])
def test_a_new_home_that_cannot_be_written_is_told_and_nothing_is_sent(machine: Machine, command: str) -> None:
    set_modes(machine.world.home, writable=False)
    machine.refused(command)
    machine.refused(command, GENAI_BATCH_HOME=str(machine.world.home / "below"))
    assert list(machine.world.home.iterdir()) == []
    set_modes(machine.world.home, writable=True)
    made = machine.answer(CREATE)
    assert (made["requests"], made.get("existing")) == (len(ROWS), None)


def test_a_home_with_a_finished_job_that_cannot_be_written_any_more_is_told_and_keeps_it(machine: Machine) -> None:
    job_id = machine.answer("run a.jsonl --model MODEL --confirm --output out.jsonl")["job_id"]
    kept = contents(machine.world.home)
    set_modes(machine.world.home, writable=False)
    for command in COMMANDS:
        machine.refused(command.replace("JOB", job_id))
    assert contents(machine.world.home) == kept
    set_modes(machine.world.home, writable=True)
    assert machine.answer(f"status {job_id}")["counts"] == {"ok": len(ROWS)}
    assert machine.answer(CREATE)["existing"]
    assert machine.answer(f"results {job_id} --key k7")["results"][0]["outcome"] == "ok"


def test_rows_that_cannot_be_written_stay_with_gemini_and_are_fetched_later(machine: Machine) -> None:
    """First nothing in the home can be written, then only not the job's own folder."""
    job_id = machine.answer(CREATE)["job_id"]
    folder = machine.world.home / "jobs" / job_id
    for place in (machine.world.home, folder):
        set_modes(place, writable=False)
        done = machine.run(f"status {job_id} --wait 20")
        assert (done.returncode, done.stdout) == (1, "")
        assert str(place) in done.stderr
        set_modes(place, writable=True)
    assert "They stay with Gemini" in done.stderr
    status = machine.answer(f"status {job_id} --wait 20")
    assert (status["counts"], status["shards"]) == ({"ok": len(ROWS)}, 1)
    assert len((folder / "results.jsonl").read_text().splitlines()) == len(ROWS)


def contents(home: Path) -> dict[str, bytes]:
    """Every file of a home, those of the ledger's readers aside."""
    files = (path for path in sorted(home.rglob("*")) if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {str(path.relative_to(home)): path.read_bytes() for path in files}
