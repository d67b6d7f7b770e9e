"""What a command tells while it waits, and how it stops."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest

from genai_batch.resources.status import JobStatus, Pulse
from genai_batch.server.progress import Lines, clock, sentence
from tests.processes import ending
from tests.test_cli import answer, ended, run
from tests.world import MODEL, World, row

pytestmark = pytest.mark.anyio
STATUS = JobStatus.model_validate({
    "job_id": "job_x", "name": "x", "model": MODEL, "lane": "live", "backend": "gemini", "state": "JOB_STATE_RUNNING",
    "done": 1_234, "requests": 10_000, "counts": {}, "percent": 12.3, "elapsed_s": 25, "eta_s": 161, "cost_usd": {},
    "shards": 1, "uri": "batch://jobs/job_x", "next": "",
})  # fmt: skip
LIVE = Pulse(failed=3, retried=12, per_s=48.2, concurrency=64, cost_usd=0.0123)


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "genai_batch", *args]


def test_a_live_run_is_told_in_one_line() -> None:
    said = sentence(STATUS.model_copy(update={"live": LIVE}))
    assert said == "running 1,234/10,000, 3 failed, 12 retried, 48.2/s, 64 at once, $0.012, 2:41 min left"
    assert sentence(STATUS) == "running 1,234/10,000, 2:41 min left"
    assert [clock(seconds) for seconds in (9, 59.7, 245, 9_000)] == ["9 s", "1:00 min", "4:05 min", "2:30 h"]


def test_a_log_gets_a_line_when_the_state_changes_and_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    lines = Lines(lambda: now)
    for seconds, done in ((0, 1), (1, 2), (59, 3), (61, 4), (62, 4), (63, 5), (200, 5), (400, 5)):
        now = 100.0 + seconds
        lines.tell(STATUS.model_copy(update={"done": done, "eta_s": None, "notice": "Gemini is slow."}))
    lines.tell(STATUS.model_copy(update={"state": "JOB_STATE_SUCCEEDED", "done": 6, "eta_s": None}))
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in told] == ["1/10,000", "slow.", "4/10,000", "5/10,000", "6/10,000"]


def an_hour(change: Callable[[int], dict[str, Any]]) -> Iterator[JobStatus]:
    for second in range(3_600):
        yield STATUS.model_copy(update=change(second))


BUSY = [{"live": LIVE.model_copy(update={"per_s": number, "retried": number})} for number in range(7)]
HOURS: dict[str, Callable[[int], dict[str, Any]]] = {
    "a countdown": lambda second: {"notice": f"Gemini is asked again in {60 - second % 60} s."},
    "a pace": lambda second: {
        "done": second,
        "eta_s": 3_600 - second,
        "live": LIVE.model_copy(update={"per_s": second % 7}),
    },
    "two reasons": lambda second: {"notice": ("Gemini is slow.", "There is no room.")[second % 2]},
    "a reason now and then": lambda second: {"notice": "There is no room." if second % 20 else None},
    "retries": lambda second: BUSY[second % 7],
    "all at once": lambda second: {"done": second, "notice": ("Gemini is slow.", "There is no room.")[second % 2]},
    "nothing new": lambda _: {},
}


@pytest.mark.parametrize("kind", HOURS)
def test_an_hour_of_waiting_is_a_page_of_a_log(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = Lines(lambda: now)
    for now, status in enumerate(an_hour(HOURS[kind])):  # noqa: B007 - the lines ask for the time
        lines.tell(status)
    told = capsys.readouterr().err.splitlines()
    assert 1 <= len(told) <= 70
    assert sum("asked again" in line for line in told) <= 1, "a countdown is no news"


async def test_events_come_line_by_line_and_a_reader_that_leaves_ends_nothing(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(40)])
    await world.set(latency_s=0.2)
    told = command("run", source, "--model", MODEL, "--lane", "live", "--concurrency", "4", "--json")
    with ending(subprocess.Popen(told, stdout=subprocess.PIPE, cwd=world.work, env=world.env(), text=True)) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(60) == 0
    assert (first["event"], first["requests"]) == ("progress", 40)
    again = ended(run(world, "run", source, "--model", MODEL, "--lane", "live", "--json"))
    assert (again["existing"], again["counts"]) == (True, {"ok": 40})
    assert len(await world.calls("generateContent")) == 40


@pytest.mark.parametrize("how", [["--json"], ["--json", "--quiet"], []], ids=["events", "quiet", "lines"])
async def test_the_exit_code_is_that_of_the_job_where_nobody_reads_any_more(world: World, how: list[str]) -> None:
    await world.arm("http_error", call="generate", code=400, message="No such field.", times=1)
    source = world.write("a.jsonl", [row("a"), row("b")])
    theirs, ours = os.pipe()
    os.close(theirs)
    told = command("run", source, "--model", MODEL, "--lane", "live", *how)
    done = subprocess.run(told, stdout=ours, stderr=ours, cwd=world.work, env=world.env(), timeout=60, check=False)
    os.close(ours)
    assert done.returncode == 3


async def begun(world: World, process: "subprocess.Popen[str]") -> IO[str]:
    """Wait until a run has answers."""
    assert process.stderr
    while not any(each["status"] == 200 for each in await world.calls("generateContent")):
        assert process.poll() is None
    return process.stderr


async def test_ctrl_c_finishes_what_is_in_flight_and_the_rest_is_run_later(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(60)])
    await world.set(latency_s=0.5)
    live = command("run", source, "--model", MODEL, "--lane", "live", "--concurrency", "5")
    with ending(subprocess.Popen(live, stderr=subprocess.PIPE, cwd=world.work, env=world.env(), text=True)) as process:
        told = await begun(world, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        said = told.read()
    assert "what is in flight is finished and stored" in said
    sent = len(await world.calls("generateContent"))
    stored = len(next(world.home.glob("jobs/job_*/results.jsonl")).read_text().splitlines())
    assert (sent, f"{stored:,} rows are stored" in said) == (stored, True)
    assert 0 < stored < 60
    job_id = said.split("genai-batch resume ")[1].split()[0]
    await world.set(latency_s=0)
    assert run(world, "resume", job_id).returncode == 0, "the command that was named runs the rest"
    assert len(await world.calls("generateContent")) == 60


async def test_a_second_ctrl_c_stops_at_once_and_loses_nothing_that_was_answered(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(40)])
    await world.set(latency_s=20)
    live = command("run", source, "--model", MODEL, "--lane", "live", "--concurrency", "5")
    with ending(subprocess.Popen(live, stderr=subprocess.PIPE, cwd=world.work, env=world.env(), text=True)) as process:
        assert process.stderr
        assert "running" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        while "Stopping" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        assert "genai-batch resume job_" in process.stderr.read()
    listed = answer(run(world, "list", "--json"))["jobs"][0]
    assert listed["state"] == "JOB_STATE_RUNNING", "whoever comes next goes on"


HURRIED = (
    "from genai_batch.__main__ import main; from genai_batch.server import waiting; "
    "from genai_batch.tools.lanes.live import lane; waiting.IN_FLIGHT_S = lane._CLOSE_S = 0.3; main()"
)


async def test_after_one_ctrl_c_what_does_not_come_home_is_given_up_in_the_end(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(9)])
    await world.arm("hang", call="generate", after=3, times=None)
    live = [sys.executable, "-c", HURRIED, "run", source, "--model", MODEL, "--lane", "live", "--concurrency", "3"]
    with ending(subprocess.Popen(live, stderr=subprocess.PIPE, cwd=world.work, env=world.env(), text=True)) as process:
        told = await begun(world, process)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(10) == 130
        finally:
            process.kill()
        said = told.read()
    assert ("for at most" in said, "3 rows are stored. genai-batch resume job_" in said) == (True, True)


async def test_a_terminal_sees_one_line_that_moves(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}") for n in range(20)])
    terminal, theirs = os.openpty()
    live = command("run", source, "--model", MODEL, "--lane", "live", "--concurrency", "5")
    env: dict[str, Any] = {**world.env(), "TERM": "xterm", "COLUMNS": "120"}
    with ending(
        subprocess.Popen(live, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, cwd=world.work, env=env)
    ) as process:
        os.close(theirs)
        process.communicate(timeout=60)
        shown = os.read(terminal, 100_000).decode()
        os.close(terminal)
    assert process.returncode == 0
    assert "succeeded 20/20" in shown
    assert "\x1b[?25h" in shown, "the cursor is back"


async def test_an_output_that_cannot_be_written_is_refused_before_anything_is_paid(world: World) -> None:
    source = world.write("a.jsonl", [row("a")])
    done = run(world, "run", source, "--model", MODEL, "--lane", "live", "--output", "nowhere/out.csv")
    assert (done.returncode, "lies in no folder" in done.stderr) == (2, True)
    assert await world.calls("generateContent") == []
