"""Pipelines: stages that read from one another, under one budget, from files a user would write."""

import json
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import anyio
import pytest
import yaml
from mcp import Client
from mcp_types import ElicitResult

from tests.world import MODEL, World, call, read, refusal, text_of

pytestmark = pytest.mark.anyio
TABLE = "slug,topic\ntides,How tides work\nbees,Bees at night\nowls,Owls\n"
STAGES: list[dict[str, Any]] = [
    {"name": "write", "data": "topics.csv", "key": "{{ slug }}", "prompt": "Write 500 words about {{ topic }}."},
    {"name": "summarise", "from": "write", "prompt": "Summarise {{ topic }} in two sentences: {{ text }}"},
    {"name": "speak", "from": "summarise", "model": "gemini-3.8-flash-tts", "prompt": "{{ text }}", "voice": "Kore",
     "output": "audio/{{ key }}.wav"},
]  # fmt: skip


def posts(world: World, *changes: dict[str, Any], **fields: Any) -> str:
    """Write the manifest of a blog that is spoken, each stage with its changes."""
    world.write("topics.csv", TABLE)
    changed = [{**stage, **change} for stage, change in zip(STAGES, [*changes, {}, {}, {}][:3], strict=True)]
    stages = [{name: what for name, what in stage.items() if what is not None} for stage in changed]
    whole = {"name": "posts", "model": MODEL, "max_cost_usd": 2, "stages": stages, **fields}
    return world.write("posts.yaml", yaml.safe_dump(whole, sort_keys=False))


async def begin(client: Client, source: str, **arguments: Any) -> str:
    """Start a pipeline and return its id."""
    return (await call(client, "create_batch", source=source, **arguments))["pipeline"]["id"]


async def wait(client: Client, pipe: str) -> dict[str, Any]:
    """Follow a pipeline until nothing more happens by itself."""
    status = await call(client, "check_status", job_id=pipe, wait_s=50)
    assert status["pipeline"]["state"] != "JOB_STATE_RUNNING", status
    return status


def states(status: dict[str, Any]) -> list[str | None]:
    """The state of each stage, without its prefix."""
    return [stage.get("state", "")[10:] or None for stage in status["pipeline"]["stages"]]


def run(world: World, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the world's folder."""
    command = [sys.executable, "-m", "genai_batch", *arguments]
    return subprocess.run(command, cwd=world.work, env=world.env(**env), capture_output=True, text=True, timeout=60)


async def test_posts_are_written_then_summed_up_then_spoken(world: World) -> None:
    async with world.client() as client:
        started = await call(client, "create_batch", source=posts(world))
        assert (started["name"], started["pipeline"]["stage"]) == ("posts · write", "1/3 write")
        status = await wait(client, pipe := started["pipeline"]["id"])
        assert states(status) == ["SUCCEEDED"] * 3
        assert (status["name"], status["model"]) == ("posts · speak", "gemini-3.8-flash-tts")
        jobs = [stage["job_id"] for stage in status["pipeline"]["stages"]]
        middle = await call(client, "get_results", job_id=jobs[1])
        assert {line["key"] for line in middle["results"]} == {"tides", "bees", "owls"}
        assert "Summarise How tides work in two" in next(x["text"] for x in middle["results"] if x["key"] == "tides")
        await call(client, "get_results", job_id=pipe, output_path="spoken/")
        named = (await call(client, "check_status", job_id=jobs[0]))["pipeline"]
        assert (
            named == {"id": pipe, "stage": "1/3 write"} == (await read(client, f"batch://jobs/{jobs[0]}"))["pipeline"]
        )
        costs = [(await call(client, "check_status", job_id=job))["cost_usd"]["actual"] for job in jobs]
        assert status["pipeline"]["cost_usd"] == pytest.approx(sum(costs), abs=1e-6)
        again = await call(client, "create_batch", source="posts.yaml")
        assert (again["existing"], again["pipeline"]["id"]) == (True, pipe)
    assert (world.work / "spoken/audio/bees.wav").read_bytes().startswith(b"RIFF")
    rows = [json.loads(line) for line in (world.work / "spoken/results.jsonl").read_text().splitlines()]
    assert {row["key"]: row["topic"] for row in rows}["tides"] == "How tides work"
    assert len(await world.bill()) == 3


async def test_the_command_line_runs_all_stages_and_writes_a_folder_each(world: World) -> None:
    done = run(world, "run", posts(world), "--output", "out/", "--json")
    assert done.returncode == 0, done.stderr
    *events, told = map(json.loads, done.stdout.splitlines())
    assert any(each.get("stage") == "3/3 speak" for each in events)
    assert (states(told), told["written"]) == (["SUCCEEDED"] * 3, 9)
    assert (world.work / "out/speak/audio/owls.wav").read_bytes().startswith(b"RIFF")
    assert told["pipeline"]["cost_usd"] > 2 * told["cost_usd"]["actual"], "all stages are counted"
    lines = (world.work / "out/summarise/results.jsonl").read_text().splitlines()
    assert {json.loads(line)["key"] for line in lines} == {"tides", "bees", "owls"}


SHORT: dict[str, Any] = {"max_output_tokens": 300}
TIGHT = 0.0034
"""USD that hold the first two stages, kept short, and not the third."""


async def test_the_third_stage_would_pass_the_budget_and_goes_on_with_confirm(world: World) -> None:
    async with world.client() as client:
        pipe = await begin(client, posts(world, SHORT, SHORT, max_cost_usd=TIGHT))
        status = await wait(client, pipe)
        assert (status["pipeline"]["state"], states(status)) == ("JOB_STATE_PENDING", ["SUCCEEDED", "SUCCEEDED", None])
        assert "Stage speak waits: it may cost $" in status["notice"]
        assert "of $0.0034 are left" in status["notice"]
        assert "confirm=true" in status["next"]
        again = await call(client, "resume_job", job_id=pipe)
        assert again["pipeline"]["state"] == "JOB_STATE_PENDING", "nothing was approved"
        assert len(await world.bill()) == 2
        await call(client, "resume_job", job_id=pipe, confirm=True)
        whole = (await wait(client, pipe))["pipeline"]
        assert whole["state"] == "JOB_STATE_SUCCEEDED"
        assert TIGHT < whole["budget_usd"] >= whole["cost_usd"]
    assert len(await world.bill()) == 3


async def test_the_command_line_ends_with_the_code_of_a_budget_unless_all_is_approved(world: World) -> None:
    source = posts(world, SHORT, SHORT, max_cost_usd=TIGHT)
    refused = run(world, "run", source, "--quiet")
    assert (refused.returncode, "Stage speak waits" in refused.stderr) == (6, True), refused.stderr
    pipe = refused.stderr.split("resume_job('")[1].split("'")[0]
    assert run(world, "status", pipe, "--quiet").returncode == 5
    approved = run(world, "run", source, "--quiet", "--confirm")
    assert (approved.returncode, pipe in approved.stdout) == (0, True), approved.stderr
    assert len(await world.bill()) == 3


async def test_the_command_line_resumes_a_pipeline_by_its_name_alone(world: World) -> None:
    async with world.client() as client:
        pipe = await begin(client, posts(world, SHORT, SHORT, max_cost_usd=TIGHT))
        await wait(client, pipe)
    resumed = run(world, "resume", pipe, "--confirm", "--json")
    assert resumed.returncode in (0, 5), resumed.stderr
    done = run(world, "status", pipe, "--wait", "60", "--json")
    assert (done.returncode, states(json.loads(done.stdout))) == (0, ["SUCCEEDED"] * 3), done.stderr


async def test_the_limit_of_the_day_holds_and_nobody_lifts_it(world: World) -> None:
    async with world.client(max_cost_usd_per_day=0.018) as client:
        pipe = await begin(client, posts(world, SHORT, SHORT, {"max_output_tokens": 1_200}))
        await wait(client, pipe)
        status = await call(client, "resume_job", job_id=pipe, confirm=True)
        assert "today's limit (GENAI_BATCH_MAX_COST_USD_PER_DAY)" in status["notice"]
        await world.advance(86_400)
        assert states(await wait(client, pipe)) == ["SUCCEEDED"] * 3


async def test_what_begins_at_once_needs_approval_above_the_limit_and_nothing_is_recorded(world: World) -> None:
    async with world.client() as client:
        for is_confirmed in (False, True):
            why = await refusal(client, "create_batch", source=posts(world), max_cost_usd=0, confirm=is_confirmed)
            assert "confirm=true" in why, "a limit that is stated with the approval is the limit"
        assert (await call(client, "list_jobs"))["jobs"] == []
        assert await begin(client, "posts.yaml", max_cost_usd=0.5, confirm=True)
    assert not [path for path in (world.home / "jobs").iterdir() if path.name.startswith(".")]


async def test_a_host_that_can_ask_lets_the_user_approve_a_stage(world: World) -> None:
    asked: list[str] = []

    async def agree(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"approve": True})

    async with world.client(elicitation_callback=agree) as client:
        pipe = await begin(client, posts(world, SHORT, SHORT, max_cost_usd=TIGHT))
        await wait(client, pipe)
        await call(client, "resume_job", job_id=pipe)
        assert states(await wait(client, pipe)) == ["SUCCEEDED"] * 3
    assert len(asked) == 1
    assert "It may cost up to $" in asked[0]


async def test_rows_that_fail_are_left_out_of_the_next_stage_and_counted(world: World) -> None:
    await world.arm("row", match={"key": "^bees$"}, outcome="error", times=1)
    async with world.client() as client:
        status = await wait(client, await begin(client, posts(world)))
        assert [stage["requests"] for stage in status["pipeline"]["stages"]] == [3, 2, 2]
        assert "1 of 3 rows of write are not in summarise" in status["notice"]
        assert "do not flow on by themselves" in status["notice"]
    shown = run(world, "status", status["pipeline"]["id"])
    assert (shown.returncode, "speak  job_" in shown.stdout) == (3, True), "the worst stage decides"


async def test_a_failed_stage_stops_the_pipeline_until_its_rows_are_sent_again(world: World) -> None:
    await world.arm("row", match={"key": "."}, outcome="error", times=1)
    async with world.client() as client:
        pipe = await begin(client, posts(world))
        status = await wait(client, pipe)
        assert (status["pipeline"]["state"], states(status)[1:]) == ("JOB_STATE_FAILED", [None, None])
        assert "Stage summarise cannot begin: write (SUCCEEDED) has no rows for it" in status["notice"]
        assert f"resume_job('{pipe}') sends the 3 that failed again" in status["notice"]
        await call(client, "resume_job", job_id=pipe, rows="failed")
        status = await wait(client, pipe)
        assert states(status) == ["SUCCEEDED"] * 3, status


async def test_a_stage_whose_input_was_cut_off_says_which_call_gives_it_more_room(world: World) -> None:
    await world.arm("row", match={"key": "."}, outcome="max_tokens", times=3)
    async with world.client() as client:
        pipe = await begin(client, posts(world, {"max_output_tokens": 3_000}))
        status = await wait(client, pipe)
        assert f"resume_job('{pipe}', rows='truncated') sends the 3 that were cut off again" in status["notice"]
        assert f"resume_job('{pipe}') " not in status["notice"], "that would send none of them"
        assert "Nothing to send" in await refusal(client, "resume_job", job_id=pipe)
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=pipe, rows="truncated")
        assert states(await wait(client, pipe)) == ["SUCCEEDED"] * 3


async def test_a_stopped_pipeline_begins_no_more_and_goes_on_when_it_is_resumed(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=60, run_s=60)
    async with world.client() as client:
        pipe = await begin(client, posts(world))
        stopped = await call(client, "cancel_job", job_id=pipe)
        status = await wait(client, pipe)
        assert status["pipeline"]["state"] == "JOB_STATE_CANCELLED", stopped
        assert states(status) == ["CANCELLED", None, None]
        await world.set(queue_s=0, run_s=0)
        await call(client, "resume_job", job_id=pipe, confirm=True)
        assert states(await wait(client, pipe)) == ["SUCCEEDED"] * 3


async def test_items_for_several_models_become_a_stage_each(world: World) -> None:
    items = [
        {"id": f"k{n}", "prompt": "Hi.", "model": model}
        for n, model in enumerate((MODEL, "gemini-3.1-pro-preview", MODEL))
    ]
    source = world.write("many.json", json.dumps({"items": items}))
    async with world.client() as client:
        assert (await call(client, "estimate_cost", source=source))["requests"] == 3
        status = await wait(client, await begin(client, source))
        stages = status["pipeline"]["stages"]
        assert [(stage["name"], stage["ok"]) for stage in stages] == [(MODEL, 2), ("gemini-3.1-pro-preview", 1)]
        assert (await call(client, "create_batch", source=source, model=MODEL))["requests"] == 3, "one for all"
        chosen = world.write("few.json", json.dumps({"items": items, "select": {"only": ["k0", "k1"]}}))
        few = await wait(client, await begin(client, chosen))
        assert [stage["requests"] for stage in few["pipeline"]["stages"]] == [1, 1]


async def test_a_few_rows_can_go_through_all_stages_first(world: World) -> None:
    async with world.client() as client:
        status = await wait(client, await begin(client, posts(world, select={"limit": 1})))
    assert [stage["ok"] for stage in status["pipeline"]["stages"]] == [1, 1, 1]


BAD: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "a field of no stage": (({}, {"promt": "x"}), "stage 'summarise': unknown field 'promt'"),
    "a later stage": (({}, {"from": "speak"}), "stage 'summarise': reads from 'speak', which is no earlier stage"),
    "itself": (({}, {"from": "summarise"}), "which is no earlier stage"),
    "two sources": (({}, {"data": "topics.csv"}), "stage 'summarise': has from and data"),
    "no source": (({"data": None},), "stage 'write': has nothing to read"),
    "no model of that name": (({}, {}, {"model": "gemini-9"}), "stage 'speak': No model 'gemini-9'"),
    "a torn template": (({}, {}, {"prompt": "{{ text "}), "stage 'speak': the template is wrong"),
    "a name no row has": (({}, {}, {"prompt": "{{ txet }}"}), "stage 'speak': its rows: in the template 'txet'"),
    "a budget of its own": (({"max_cost_usd": 1},), "stage 'write': max_cost_usd holds for all stages"),
    "a name used twice": (({}, {"name": "Write"}), "stage 'Write': has the name of an earlier stage"),
    "no such job": (({"data": None, "job_id": "job_x"},), "stage 'write': No job 'job_x'"),
    "no such job to compare with": (({"select": {"changed_since": "job_x"}},), "stage 'write': No job 'job_x'"),
    "an output outside": (({}, {}, {"output": "../{{ key }}.wav"}), "stage 'speak': its rows: output"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_stage_is_named_before_anything_is_sent(world: World, case: str) -> None:
    changes, said = BAD[case]
    async with world.client() as client:
        assert said in await refusal(client, "create_batch", source=posts(world, *changes))
        assert (await call(client, "list_jobs"))["jobs"] == []
    assert await world.bill() == []


async def test_a_template_may_take_answers_apart_and_one_that_cannot_stops_the_pipeline(world: World) -> None:
    async with world.client() as client:
        status = await wait(client, await begin(client, posts(world, {}, {"prompt": "{{ text.split()[5] }}"})))
        assert states(status) == ["SUCCEEDED"] * 3
        status = await wait(client, await begin(client, posts(world, {}, {"prompt": "{{ text.split()[9999] }}"})))
        assert (status["pipeline"]["state"], states(status)) == ("JOB_STATE_FAILED", ["SUCCEEDED", None, None])
        assert "Stage summarise cannot begin: posts.yaml: 3 problems" in status["notice"]
        again = await call(client, "resume_job", job_id=status["pipeline"]["id"])
        assert again["pipeline"]["state"] == "JOB_STATE_FAILED", "it is tried again, and nothing is paid"
    assert len(await world.bill()) == 3


@pytest.mark.parametrize("fault", [False, True])
async def test_an_answer_about_twelve_stages_fits_two_kilobytes(world: World, fault: bool) -> None:
    stages = [{"name": f"stage {n} {'x' * 30}", "items": [{"id": "a", "prompt": f"Say {n}."}]} for n in range(12)]
    if fault:
        await world.arm("row", match={"key": "a"}, outcome="error", times=1)
        stages[1:] = [{"name": each["name"], "from": stages[0]["name"], "prompt": "{{ text }}"} for each in stages[1:]]
    source = world.write("wide.yaml", yaml.safe_dump({"model": MODEL, "name": "wide " * 20, "stages": stages}))
    async with world.client() as client:
        started = await client.call_tool("create_batch", {"source": source})
        told = json.loads(text_of(started))
        done = await client.call_tool("check_status", {"job_id": told["pipeline"]["id"], "wait_s": 50})
    assert ("cannot begin" in text_of(done)) == fault
    for reply in (started, done):
        assert len(text_of(reply).encode()) <= 2_000
        assert len(json.loads(text_of(reply))["pipeline"]["stages"]) == 12


KILLED = """
import os, signal, sys
from genai_batch.resources import pipelines
from genai_batch.__main__ import main
link, moment = pipelines.link, sys.argv.pop(1)
def struck(db, job, **given):
    if moment == "before" and given["number"] == 1: os.kill(os.getpid(), signal.SIGKILL)
    link(db, job, **given)
    if moment == "inside" and given["number"] == 1: os.kill(os.getpid(), signal.SIGKILL)
pipelines.link = struck
if moment == "after":
    from genai_batch.tools.pipelining import going_on
    record = going_on.record
    def recorded(workspace, draft, **given):
        record(workspace, draft, **given)
        os.kill(os.getpid(), signal.SIGKILL)
    going_on.record = recorded
main()
"""


@pytest.mark.parametrize("moment", ["before", "inside", "after"])
async def test_a_process_killed_while_a_stage_is_begun_is_followed_by_one_that_pays_once(
    world: World, moment: str
) -> None:
    source = posts(world)
    command = [sys.executable, "-c", KILLED, moment, "run", source, "--quiet"]
    killed = subprocess.run(command, cwd=world.work, env=world.env(), capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    async with world.client() as client:
        again = await call(client, "create_batch", source=source)
        assert again["existing"]
        assert states(await wait(client, again["pipeline"]["id"])) == ["SUCCEEDED"] * 3
    assert sorted(batch["requests"] for batch in await world.bill()) == [3, 3, 3]


async def test_a_server_goes_on_by_itself(world: World) -> None:
    async with world.client() as client:
        pipe = await begin(client, posts(world))
        with anyio.fail_after(30):
            while len(jobs := (await read(client, "batch://jobs"))["jobs"]) < 3:  # noqa: ASYNC110 - it reads files
                await anyio.sleep(0.05)
        assert {job["name"] for job in jobs} == {"posts · write", "posts · summarise", "posts · speak"}
        assert (await wait(client, pipe))["pipeline"]["state"] == "JOB_STATE_SUCCEEDED"


async def test_a_mended_manifest_does_not_pay_again_for_what_was_run(world: World) -> None:
    async with world.client() as client:
        first = await wait(client, await begin(client, posts(world)))
        await world.advance(1)
        mended = posts(world, {}, {"prompt": "In one line: {{ text }}"})
        second = await wait(client, await begin(client, mended))
        new = [await call(client, "check_status", job_id=each["job_id"]) for each in second["pipeline"]["stages"][1:]]
    jobs = [[stage["job_id"] for stage in status["pipeline"]["stages"]] for status in (first, second)]
    assert jobs[0][0] == jobs[1][0]
    assert jobs[0][1] != jobs[1][1]
    assert len(await world.bill()) == 5
    assert second["pipeline"]["cost_usd"] == pytest.approx(sum(each["cost_usd"]["actual"] for each in new), abs=1e-6)


async def test_answers_sent_again_after_the_next_stage_has_begun_do_not_flow_on_and_that_is_said(world: World) -> None:
    await world.arm("row", match={"key": "^bees$"}, outcome="error", times=1)
    async with world.client() as client:
        status = await wait(client, await begin(client, posts(world)))
        written = status["pipeline"]["stages"][0]["job_id"]
        again = await call(client, "resume_job", job_id=written, rows="failed")
        assert "summarise has begun: it does not get these answers" in again["notice"]


async def test_two_processes_run_one_pipeline_and_pay_once(world: World) -> None:
    source = posts(world)
    command = [sys.executable, "-m", "genai_batch", "run", source, "--json", "--quiet"]
    both = [subprocess.Popen(command, cwd=world.work, env=world.env(), stdout=subprocess.PIPE) for _ in range(2)]
    told = [json.loads((await anyio.to_thread.run_sync(partial(each.communicate, timeout=120)))[0]) for each in both]
    assert [states(each) for each in told] == [["SUCCEEDED"] * 3] * 2
    assert len({each["job_id"] for each in told}) == 1
    assert len(await world.bill()) == 3


async def test_two_servers_begin_a_stage_once_even_where_the_same_is_to_be_paid_again(world: World) -> None:
    source = posts(world)
    async with world.client() as one, world.client() as other:
        pipe = await begin(one, source, again=True)
        await wait(other, pipe)
        assert states(await wait(one, pipe)) == ["SUCCEEDED"] * 3
        fresh = await begin(other, source, again=True)
        assert fresh != pipe
        await wait(other, fresh)
    assert len(await world.bill()) == 6
