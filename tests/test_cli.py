"""The command line: the same answers, exit codes that tell how it went, and nothing on stdout but the answer."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from genai_batch import __version__
from tests.processes import ending
from tests.world import MODEL, World, an_adopted_job, row

pytestmark = pytest.mark.anyio


def run(world: World, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "genai_batch", *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=world.work, env=world.env(**env), check=False
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on stdout."""
    assert done.stdout.count("\n") == 1, done.stdout
    return json.loads(done.stdout)


def ended(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The last of the events on stdout."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"] for each in events[:-1]] == [
        "progress" if "state" in each else "note" for each in events[:-1]
    ]
    assert events[-1]["event"] == "end"
    return events[-1]


async def test_each_command_gives_the_answer_of_its_tool(world: World) -> None:
    source = world.write("a.jsonl", [row("a"), row("b")])
    estimate = answer(run(world, "estimate", source, "--model", MODEL, "--json"))
    assert (estimate["requests"], estimate["backend"]) == (2, "emulator")
    created = run(world, "create", source, "--model", MODEL, "--name", "mine", "--json")
    assert created.returncode == 0
    job_id = answer(created)["job_id"]
    status = run(world, "status", job_id, "--wait", "30", "--json")
    assert (status.returncode, answer(status)["counts"]) == (0, {"ok": 2})
    page = answer(run(world, "results", job_id, "--json"))
    assert [line["key"] for line in page["results"]] == ["a", "b"]
    assert answer(run(world, "list", "--json"))["jobs"][0]["name"] == "mine"
    assert answer(run(world, "cancel", job_id, "--json"))["state"] == "JOB_STATE_SUCCEEDED"


async def test_the_version_and_the_help_are_told_in_the_usual_ways(world: World) -> None:
    assert {run(world, asked).stdout for asked in ("--version", "-V", "version")} == {f"{__version__}\n"}
    for command in ((), ("run",), ("results",)):
        short, long = run(world, *command, "-h"), run(world, *command, "--help")
        assert (short.returncode, short.stdout) == (0, long.stdout)
        assert "Usage: genai-batch" in short.stdout


@pytest.mark.parametrize("asked", ["--help", "-h", "--version", "-V", "--port"])
async def test_the_server_answers_a_person_who_gives_it_arguments_instead_of_waiting_for_a_host(
    world: World, asked: str
) -> None:
    command = [Path(sys.executable).with_name("genai-batch-mcp"), asked]
    with ending(
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=world.env()
        )
    ) as server:
        assert server.stdout
        assert server.stderr
        printed, complaint = server.stdout.read(), server.stderr.read()  # stdin stays open, as with a host
        assert server.wait(30) == (2 if asked == "--port" else 0)
    assert {"--port": "", "-V": f"genai-batch-mcp {__version__}\n"}.get(asked, printed) == printed
    assert ("GEMINI_API_KEY" in printed) == (asked in ("--help", "-h"))
    assert ("unrecognized arguments" in complaint) == (asked == "--port")


async def test_a_server_without_stdin_or_stdout_says_so(world: World) -> None:
    for closed in ("<&-", ">&-"):
        command = f'"{sys.executable}" -m genai_batch {closed}'
        done = subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=world.env(),
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == "genai-batch-mcp talks to an MCP host over stdin and stdout, and one of them is closed.\n"


async def test_a_shell_completes_commands_and_options_without_a_terminal_on_stdin(world: World) -> None:
    def completed(words: str) -> list[str]:
        asked = {"_GENAI_BATCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return run(world, **asked).stdout.split()

    assert completed("genai-batch re") == ["results", "report", "resume"]
    assert "--max-cost-usd" in completed("genai-batch run --ma")


async def test_a_command_loads_nothing_of_mcp(world: World) -> None:
    done = run(world, "list", "--json", PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "genai_batch.tools.check_status" in loaded
    assert not {each for each in loaded if each.split(".")[0] in ("mcp", "mcp_types", "starlette", "uvicorn")}


async def test_run_does_the_whole_job_and_writes_every_result(world: World) -> None:
    done = run(
        world, "run", world.write("a.jsonl", [row("a"), row("b")]), "--model", MODEL, "--output", "out.csv", "--json"
    )
    assert (done.returncode, ended(done)["written"]) == (0, 2)
    assert (world.work / "out.csv").read_text().startswith("key,outcome")
    again = run(world, "run", "a.jsonl", "--model", MODEL, "--output", "out.csv")
    assert again.returncode == 0, "a person may replace a file"
    assert "the same job as before" in again.stdout


async def test_rows_that_failed_in_a_batch_are_finished_live_from_the_command_line(world: World) -> None:
    await world.arm("row", match={"key": "a"}, outcome="error", code=13)
    source = world.write("a.jsonl", [row("a"), row("b")])
    job_id = answer(run(world, "create", source, "--model", MODEL, "--json"))["job_id"]
    assert run(world, "status", job_id, "--wait", "30", "--json").returncode == 3
    assert run(world, "resume", job_id, "--lane", "live", "--json").returncode == 0
    status = run(world, "status", job_id, "--wait", "30", "--json")
    assert (status.returncode, answer(status)["counts"]) == (0, {"ok": 2})


async def test_create_in_the_live_lane_says_that_the_job_runs_only_while_something_is_at_work(world: World) -> None:
    await world.set(latency_s=0.3)
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(20)])
    given = (source, "--model", MODEL, "--lane", "live", "--concurrency", "4", "--json")
    created = answer(run(world, "create", *given))
    assert created["next"].startswith("The job runs only while a server, genai-batch run or status --wait is at work")
    how = created["next"].partition("genai-batch status ")[2].split()
    assert answer(run(world, "status", *how, "--json"))["counts"] == {"ok": 20}


@pytest.mark.parametrize(
    ("fault", "params", "code"),
    [
        ("row", {"match": {"key": "a"}, "outcome": "max_tokens"}, 3),
        ("row", {"outcome": "error"}, 3),
        ("fail", {}, 4),
        ("expire", {"after_s": 0}, 4),
    ],
)
async def test_the_exit_code_tells_how_the_job_ended(
    world: World, fault: str, params: dict[str, Any], code: int
) -> None:
    await world.arm(fault, **params)
    done = run(world, "run", world.write("a.jsonl", [row("a"), row("b")]), "--model", MODEL, "--json")
    assert done.returncode == code, done.stderr
    assert run(world, "status", ended(done)["job_id"]).returncode == code


async def test_a_job_under_way_exits_5_and_a_stopped_one_4(world: World) -> None:
    await world.set(queue_s=1000)
    job_id = answer(run(world, "create", world.write("a.jsonl", [row("a")]), "--model", MODEL, "--json"))["job_id"]
    assert run(world, "status", job_id).returncode == 5
    refused = run(world, "results", job_id, "--json")
    assert (refused.returncode, answer(refused)["exit_code"]) == (5, 5)
    assert run(world, "cancel", job_id).returncode == 0
    assert run(world, "status", job_id).returncode == 4


async def test_refusals_exit_with_their_own_code_and_say_why_on_stderr(world: World) -> None:
    good, bad = world.write("a.jsonl", [row("a")]), world.write("bad.jsonl", "nonsense\n" * 30)
    for code, said, args in (
        (2, "(30 rows: lines 1, 2, 3, …)", ["create", bad, "--model", MODEL]),
        (2, "no such file", ["estimate", "none.jsonl", "--model", MODEL]),
        (2, "Did you mean 'gemini-3.8-flash'", ["estimate", good, "--model", "gemini-3.8-flsh"]),
        (2, "No job", ["status", "job_none"]),
        (2, "--model", ["estimate", good]),
        (2, "No such command", ["estimat", good]),
        (6, "--confirm", ["create", good, "--model", MODEL, "--max-cost-usd", "0.000001"]),
        (6, "--confirm", ["run", good, "--model", MODEL, "--max-cost-usd", "0"]),
    ):
        done = run(world, *args)
        assert (done.returncode, done.stdout, said in done.stderr) == (code, "", True), (args, done.stderr)
    once, listing = (run(world, "estimate", bad, "--model", MODEL, *more) for more in ([], ["--all"]))
    assert (once.returncode, once.stdout.count("problem line")) == (2, 1)
    assert (listing.returncode, listing.stdout.count("problem line")) == (2, 30)


async def test_a_corrected_copy_tells_what_it_changed_and_what_it_left(world: World) -> None:
    misplaced = {"key": "a", "request": {"contents": "hi", "temperature": 1}}
    misspelt = row("b", temprature=1)
    source = world.write("a.jsonl", [misplaced, misspelt, row("c")])
    told = run(world, "estimate", source, "--model", MODEL, "--fix", "good.jsonl")
    assert told.returncode == 2, "one line is left to its owner"
    assert "lines corrected: 1" in told.stdout
    assert "line 1: key 'a': moved 'temperature' into generation_config; made contents a list" in told.stdout
    assert "problem line 2: key 'b': no such field 'temprature'" in told.stdout
    again = answer(run(world, "estimate", "good.jsonl", "--model", MODEL, "--fix", "better.jsonl", "--json"))
    assert (again["fixed_count"], again["problem_count"], again["requests"]) == (0, 1, 2)
    assert (world.work / "better.jsonl").read_bytes() == (world.work / "good.jsonl").read_bytes()
    assert (world.work / "good.jsonl").read_text().splitlines()[1:] == (world.work / source).read_text().splitlines()[
        1:
    ]


async def test_a_corrected_copy_can_be_sent_and_never_replaces_its_source(world: World) -> None:
    source = world.write("a.jsonl", [{"custom_id": "a", "request": {"contents": "hi"}}])
    before = (world.work / source).read_bytes()
    for target in (source, f"./{source}", "."):
        refused = run(world, "estimate", source, "--model", MODEL, "--fix", target)
        assert (refused.returncode, "name another file" in refused.stderr) == (2, True)
    assert (world.work / source).read_bytes() == before
    fixed = answer(run(world, "estimate", source, "--model", MODEL, "--fix", "good.jsonl", "--json"))
    assert fixed["fixed"] == [
        {
            "line": 1,
            "key": "a",
            "changed": "renamed 'custom_id' to 'key'; made contents a list; made a turn of a string",
        }
    ]
    assert "source=good.jsonl" in fixed["next"]
    assert run(world, "run", "good.jsonl", "--model", MODEL, "--quiet").returncode == 0


async def test_wrong_settings_are_named(world: World) -> None:
    source = world.write("a.jsonl", [row("a")])
    for name, value in (("GENAI_BATCH_BACKEND", "vertix"), ("GENAI_BATCH_MAX_COST_USD", "five")):
        done = run(world, "estimate", source, "--model", MODEL, **{name: value})
        assert (done.returncode, name in done.stderr) == (2, True)
    keyless = run(world, "estimate", source, "--model", MODEL, GENAI_BATCH_BACKEND="gemini")
    assert (keyless.returncode, "GEMINI_API_KEY" in keyless.stderr) == (2, True)


async def test_quiet_says_nothing_but_the_answer(world: World) -> None:
    done = run(world, "run", world.write("a.jsonl", [row("a")]), "--model", MODEL, "--quiet", "--json")
    assert (done.stderr, done.returncode) == ("", 0)


async def test_the_command_line_may_read_any_path(world: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jsonl").write_text(json.dumps(row("a")))
    assert run(world, "estimate", str(tmp_path / "elsewhere.jsonl"), "--model", MODEL).returncode == 0


async def test_an_interrupted_run_exits_130_and_the_job_goes_on(world: World) -> None:
    await world.set(queue_s=1000)
    source = world.write("a.jsonl", [row("a")])
    command = [sys.executable, "-m", "genai_batch", "run", source, "--model", MODEL]
    with ending(
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=world.work, env=world.env())
    ) as process:
        assert process.stderr
        assert "pending 0/1" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert "status job_" in process.stderr.read()
    await world.advance(1001)
    listed = answer(run(world, "list", "--json"))["jobs"][0]
    assert run(world, "status", listed["job_id"], "--wait", "30").returncode == 0
    assert len(await world.bill()) == 1


async def test_escape_sequences_in_answers_reach_the_terminal_as_text(world: World) -> None:
    source = world.write("a.jsonl", [row("a", "\x1b[2J\x1b]0;owned\x07 \u202e hello")])
    done = run(world, "run", source, "--model", MODEL)
    raw = run(world, "results", "--json", done.stdout.split()[0])
    assert done.returncode == 0
    for text in (done.stdout, raw.stdout):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\x1b[2J" in json.loads(raw.stdout)["results"][0]["text"], "the answer itself is not changed"


async def test_doctor_says_who_answers_and_where_things_are(world: World) -> None:
    done = run(world, "doctor", "--json")
    assert done.returncode == 0
    assert answer(done)["backend"] == "emulator"
    assert "no model is called" in answer(done)["connection"]


async def test_no_arguments_at_a_pipe_serves_mcp(world: World) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    done = subprocess.run(
        [sys.executable, "-m", "genai_batch"],
        input=json.dumps(hello) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        env=world.env(),
        cwd=world.work,
        check=False,
    )
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "genai-batch"
    assert done.returncode == 0


@pytest.mark.parametrize("usd", ["nan", "-1", "inf"])
@pytest.mark.parametrize("command", [["create"], ["estimate", "--pilot", "20"]])
async def test_what_is_no_amount_of_money_is_refused(world: World, usd: str, command: list[str]) -> None:
    source = world.write("a.jsonl", [row(f"k{n}") for n in range(60)])
    done = run(world, command[0], source, "--model", MODEL, *command[1:], "--max-cost-usd", usd)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 6)])
async def test_a_person_at_a_terminal_is_asked_before_the_limit_is_passed(
    world: World, typed: bytes, code: int
) -> None:
    source = world.work / world.write("a.jsonl", [row(f"k{n}", max_output_tokens=1_000) for n in range(100)])
    command = [sys.executable, "-m", "genai_batch", "create", str(source), "--model", MODEL, "--max-cost-usd", "0.01"]
    terminal, theirs = os.openpty()
    with ending(
        subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=world.env())
    ) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(terminal, 1_000)
        os.write(terminal, typed)
        process.communicate(timeout=30)
        os.close(terminal)
    assert b"may cost more than $0.01" in shown
    assert (process.returncode, len(await world.bill())) == (code, int(code == 0))


async def test_the_demo_plays_to_its_end(world: World) -> None:
    done = run(world, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n== ") == 10


async def test_a_source_of_which_few_rows_were_edited_says_so_and_how_to_send_only_these(world: World) -> None:
    lines = [row(f"k{n}", f"Describe {n}.") for n in range(40)]
    source = world.write("a.jsonl", lines)
    first = run(world, "run", source, "--model", MODEL).stdout.split()[0]
    lines[3:6] = [row(f"k{n}", f"Praise {n}.") for n in (3, 4, 5)]
    world.write("a.jsonl", lines)
    again = run(world, "create", source, "--model", MODEL)
    assert f"37 of 40 rows are those of {first}. All of them cost $" in again.stderr
    assert "only the other 3 $" in again.stderr
    assert f"--changed-since {first} sends only the others" in again.stderr
    assert again.returncode == 0, "nobody is there to ask, and all rows were asked for"
    lines[7] = row("k7", "Sell 7.")
    world.write("a.jsonl", lines)
    second = run(world, "list", "--json")
    newest = json.loads(second.stdout)["jobs"][0]["job_id"]
    only = run(world, "run", source, "--model", MODEL, "--changed-since", newest, "--json")
    assert ended(only)["requests"] == 1
    assert "are those of" not in only.stderr
    assert "are those of" not in run(world, "run", source, "--model", MODEL, "--again").stderr
    adopted = an_adopted_job(world, lines)
    with closing(sqlite3.connect(world.home / "ledger.db")) as db:
        db.execute("UPDATE job SET backend = 'emulator', created_at = 9e9 WHERE id = ?", (adopted,))
        db.commit()
    live = run(world, "create", source, "--model", MODEL, "--lane", "live")
    assert (live.returncode, "rows are those of job_" in live.stderr, adopted in live.stderr) == (0, True, False)
    assert "are those of" not in run(world, "run", source, "--model", "gemini-3.5-flash-lite").stderr


@pytest.mark.parametrize(("said", "requests", "code"), [("rest", 2, 0), ("", 2, 0), ("all", 40, 0), ("none", None, 6)])
async def test_a_person_chooses_whether_all_rows_are_sent_again(
    world: World, said: str, requests: int | None, code: int
) -> None:
    lines = [row(f"k{n}", f"Describe {n}.") for n in range(40)]
    source = world.write("a.jsonl", lines)
    assert run(world, "run", source, "--model", MODEL).returncode == 0
    world.write("a.jsonl", [row("k0", "Praise 0."), *lines[1:], row("new", "What is new?")])
    terminal, theirs = os.openpty()
    command = [sys.executable, "-m", "genai_batch", "create", source, "--model", MODEL, "--json"]
    with ending(
        subprocess.Popen(
            command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=world.env(), cwd=world.work, text=True
        )
    ) as process:
        os.close(theirs)
        shown = b""
        while b"Send rest / all / none?" not in shown:
            shown += os.read(terminal, 1_024)
        os.write(terminal, f"nonsense\n{said}\n".encode())
        out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == code
    made = json.loads(out)
    assert made.get("requests") == (41 if said == "all" else requests)
