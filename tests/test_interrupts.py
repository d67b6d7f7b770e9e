"""Ctrl-C and SIGTERM at any moment of a command: one line that says what was done, exit 130, nothing half made."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.processes import ending
from tests.test_cli import answer, run
from tests.world import MODEL, World, row

pytestmark = pytest.mark.anyio
NOTHING = "genai-batch: Interrupted; nothing was sent.\n"


def stopped_while_importing(world: World, module: str, end: signal.Signals, *args: str) -> tuple[int, str]:
    """Run a command, end it once it has imported a module, and return its exit code and what it said."""
    command = [sys.executable, "-X", "importtime", "-m", "genai_batch", *args]
    with ending(
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=world.work, env=world.env()
        )
    ) as process:
        assert process.stderr
        while module not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(end)
        told = [line for line in process.stderr if not line.startswith("import time:")]
        return process.wait(10), "".join(told)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["msgspec", "typer", "genai_batch.server.cli"])
async def test_a_signal_while_modules_are_imported_ends_the_command_with_one_line(
    world: World, module: str, end: signal.Signals
) -> None:
    source = world.write("a.jsonl", [row("a")])
    assert stopped_while_importing(world, module, end, "run", source, "--model", MODEL) == (130, NOTHING)
    assert await world.calls() == []


async def test_a_command_goes_on_where_its_shell_ignores_ctrl_c_and_still_heeds_sigterm(world: World) -> None:
    await world.set(latency_s=0.4)
    source = world.write("a.jsonl", [row(f"k{n}") for n in range(24)])
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "genai_batch", "run", source]
    for end, code in ((signal.SIGINT, 0), (signal.SIGTERM, 130)):
        command = [*ignoring, "--model", MODEL, "--lane", "live", "--concurrency", "4", "--again"]
        with ending(
            subprocess.Popen(command, stderr=subprocess.PIPE, cwd=world.work, env=world.env(), text=True)
        ) as process:
            assert process.stderr
            while "running" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(end)
            assert process.wait(20) == code


async def test_a_signal_while_a_server_or_another_command_begins_says_no_more(world: World) -> None:
    for args in (["serve"], ["results", "job_x"], ["list"]):
        assert stopped_while_importing(world, "msgspec", signal.SIGINT, *args) == (130, NOTHING)


def stopped_when(world: World, is_due: Callable[[], bool], *args: str) -> tuple[int, str, str]:
    """Run a command, press Ctrl-C for its whole group once it is due, and return its exit code and what it said."""
    command = [sys.executable, "-m", "genai_batch", *args]
    with ending(subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=world.work, env=world.env(),
        process_group=0,
    )) as process:  # fmt: skip
        while not is_due():
            assert process.poll() is None, process.stderr and process.stderr.read()
        os.killpg(process.pid, signal.SIGINT)
        out, told = process.communicate(timeout=20)
        return process.returncode, out, told


@pytest.mark.parametrize("command", ["run", "estimate"])
async def test_ctrl_c_while_a_table_is_compiled_leaves_nothing_and_says_that_nothing_was_sent(
    world: World, command: str
) -> None:
    world.write("a.csv", "n\n" + "".join(f"{n}\n" for n in range(300_000)))
    world.write("a.yaml", f"model: {MODEL}\ndata: a.csv\nkey: 'k{{{{ n }}}}'\nprompt: 'Say {{{{ n }}}}.'\n")

    def is_compiling() -> bool:
        return any(each.stat().st_size for each in world.home.glob("jobs/.job_*/*.jsonl"))

    assert stopped_when(world, is_compiling, command, "a.yaml") == (130, "", NOTHING)
    assert list(world.home.glob("jobs/.job_*")) == []
    assert answer(run(world, "list", "--json"))["jobs"] == []


async def test_ctrl_c_once_the_job_is_recorded_names_it(world: World) -> None:
    await world.arm("hang", call="any", times=None)
    source = world.write("a.jsonl", [row("a")])

    def is_recorded() -> bool:
        if not any(world.home.glob("jobs/job_*")):
            return False
        with closing(sqlite3.connect(world.home / "ledger.db")) as ledger:
            return bool(ledger.execute("SELECT count(sent_at) FROM shard").fetchone()[0])

    code, out, told = stopped_when(world, is_recorded, "create", source, "--model", MODEL)
    job_id = answer(run(world, "list", "--json"))["jobs"][0]["job_id"]
    assert (code, out) == (130, "")
    assert told == (
        f"genai-batch: Interrupted; {job_id} is recorded: genai-batch status {job_id} --wait 3600 goes on with it.\n"
    )


def test_the_garbage_collector_is_at_work_once_a_command_is_imported() -> None:
    command = "from genai_batch.__main__ import main; sys.argv[1:] = ['--version']"
    asks = f"import gc, sys; {command}\ntry: main()\nfinally: print(gc.isenabled())"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[1:] == ["True"]
