"""A disk that is full, a ledger that is locked or old, files that are torn: told clearly, and nothing is lost."""

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread

from tests.world import MODEL, World, call, finish, read, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Prompt number {n}.") for n in range(200)]
HOMES = Path(__file__).parent / "homes"


def small_disk() -> None:
    """No file of this process may grow beyond 120 kB, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))


def small_results() -> None:
    """The same, where the ledger still fits and the rows do not."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))


async def test_results_that_do_not_fit_the_disk_go_on_where_they_stopped_once_there_is_room(
    world: World, emulator_url: str
) -> None:
    source = world.write("a.jsonl", ROWS)
    env = world.env(GENAI_BATCH_BACKEND="gemini", GEMINI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=emulator_url)
    command = [sys.executable, "-m", "genai_batch"]

    def run(*args: str, full: bool) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *args], env=env, cwd=world.work, capture_output=True, text=True, timeout=60, check=False,
            preexec_fn=small_disk if full else None,
        )  # fmt: skip

    job_id = json.loads(run("create", source, "--model", MODEL, "--confirm", "--json", full=False).stdout)["job_id"]
    full = run("status", job_id, "--wait", "20", full=True)
    assert "They stay with Gemini" in full.stderr, full.stderr
    assert full.returncode == 1
    [part] = world.home.glob("jobs/*/results.*.part")
    assert part.stat().st_size == 120_000
    assert json.loads(run("status", job_id, "--wait", "20", "--json", full=False).stdout)["counts"] == {"ok": 200}
    async with httpx2.AsyncClient() as http:
        log = (await http.get(f"{emulator_url}/emulator/log")).json()["calls"]
    assert [each["status"] for each in log if ":download" in each["path"]].count(200) == 1
    lines = (part.parent / "results.jsonl").read_text().splitlines()
    assert (len(lines), len(set(lines)), part.exists()) == (200, 200, False)


async def test_a_live_run_on_a_full_disk_says_so_and_asks_for_no_stored_row_again(
    world: World, emulator_url: str
) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", f"Prompt number {n}.") for n in range(600)])
    env = world.env(GENAI_BATCH_BACKEND="gemini", GEMINI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=emulator_url)

    def run(*args: str, full: bool) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "genai_batch", *args, "--json"], env=env, cwd=world.work, capture_output=True,
            text=True, timeout=60, check=False, preexec_fn=small_results if full else None,
        )  # fmt: skip
        return json.loads(done.stdout)

    live = ("--lane", "live", "--concurrency", "16", "--confirm")
    async with httpx2.AsyncClient(base_url=f"{emulator_url}/emulator") as http:
        await http.post("/settings", json={"latency_s": 0.05})
        job_id = run("create", source, "--model", MODEL, *live, full=False)["job_id"]
        held_up: dict[str, Any] = {}
        for seconds in ("2", "4", "8", "16", "30"):  # a slow machine takes longer to fill the disk
            held_up = run("status", job_id, "--wait", seconds, full=True)
            if "notice" in held_up:
                break
        assert "File too large" in held_up["notice"], held_up
        assert 0 < held_up["done"] < 600
        assert run("status", job_id, "--wait", "30", full=False)["counts"] == {"ok": 600}
        log = (await http.get("/log")).json()["calls"]
    asked = sum("generateContent" in each["path"] for each in log)
    assert asked <= 600 + 3 * (16 + 64), "more than what was in flight, to Gemini or to the disk"


async def test_requests_that_do_not_fit_the_disk_are_not_sent(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}", "x" * 9_000) for n in range(100)])
    async with world.client() as client:
        await call(client, "list_jobs")  # the ledger is there before the disk is full
    done = subprocess.run(
        [sys.executable, "-m", "genai_batch", "create", source, "--model", MODEL, "--confirm"],
        env=world.env(), cwd=world.work, capture_output=True, text=True, timeout=60, preexec_fn=small_disk, check=False,
    )  # fmt: skip
    assert (done.returncode, "Nothing was sent" in done.stderr) == (1, True), done.stderr
    assert await world.bill() == []
    async with world.client() as client:
        assert (await finish(client, await start(client, source, confirm=True)))["counts"] == {"ok": 100}


async def test_a_locked_ledger_is_told_and_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_batch.resources.database.BUSY_S", 0.1)
    source = world.write("a.jsonl", ROWS)
    async with world.client() as client:
        await call(client, "list_jobs")
        with sqlite3.connect(world.home / "ledger.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            said = await refusal(client, "create_batch", source=source, model=MODEL, confirm=True)
            assert ("locked" in said, "Nothing was lost" in said) == (True, True)
            other.execute("ROLLBACK")
        other.close()
        assert (await finish(client, await start(client, source, confirm=True)))["counts"] == {"ok": 200}


@pytest.mark.parametrize("home", sorted(HOMES.iterdir()), ids=lambda home: home.name)
async def test_a_home_of_an_earlier_version_opens_with_all_it_holds(world: World, home: Path) -> None:
    shutil.copytree(home, world.home, dirs_exist_ok=True)
    async with world.client() as client:
        for job in (await call(client, "list_jobs"))["jobs"]:
            await world.advance(61)  # a create of unknown outcome is believed lost after a minute
            status = await finish(client, job["job_id"])
            assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": job["requests"]})
            key = (await call(client, "get_results", job_id=job["job_id"]))["results"][0]["key"]
            assert (await read(client, f"batch://jobs/{job['job_id']}/results/{key}"))["outcome"] == "ok"
            await call(client, "resume_job", job_id=job["job_id"], rows=[key])
            assert (await finish(client, job["job_id"]))["counts"] == status["counts"]


@pytest.mark.parametrize("home", sorted(HOMES.iterdir()), ids=lambda home: home.name)
async def test_what_an_earlier_version_sent_is_not_sent_and_paid_again(world: World, home: Path) -> None:
    shutil.copytree(home, world.home, dirs_exist_ok=True)
    async with world.client() as client:
        for job in (await call(client, "list_jobs"))["jobs"]:
            sent = (world.home / "jobs" / job["job_id"] / "requests.jsonl").read_bytes()
            model = (await call(client, "check_status", job_id=job["job_id"]))["model"]
            again = await call(client, "create_batch", source=world.write("a.jsonl", sent), model=model, confirm=True)
            assert (again["job_id"], again["existing"]) == (job["job_id"], True)


async def test_nothing_waits_while_what_an_earlier_version_sent_is_hashed(world: World) -> None:
    shutil.copytree(HOMES / "001", world.home, dirs_exist_ok=True)
    begun, served, waited = Event(), Event(), list[bool]()

    def hand_over(file: Path, content: bytes) -> None:
        """Keep whoever reads the file waiting until something else was served, though not for ever."""
        with file.open("wb") as pipe:
            begun.set()
            waited.append(served.wait(5))
            pipe.write(content)

    async with world.client() as client:
        job = (await call(client, "list_jobs"))["jobs"][0]
        model = (await call(client, "check_status", job_id=job["job_id"]))["model"]
        file = world.home / "jobs" / job["job_id"] / "requests.jsonl"
        source = world.write("a.jsonl", sent := file.read_bytes())
        file.unlink()
        os.mkfifo(file)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(to_thread.run_sync, hand_over, file, sent)
            tasks.start_soon(partial(call, client, "create_batch", source=source, model=model, confirm=True))
            await to_thread.run_sync(begun.wait)
            await call(client, "list_jobs")
            served.set()
    assert waited == [True]


async def test_a_result_file_that_was_cut_is_told_and_its_rows_can_be_sent_again(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), confirm=True)
        await finish(client, job_id)
        file = world.home / "jobs" / job_id / "results.jsonl"
        file.write_bytes(file.read_bytes()[:20_000])
        page = await call(client, "get_results", job_id=job_id, keys=["k199"])
        assert page["results"][0]["outcome"] == "missing"
        assert "results.jsonl was cut" in page["notice"]
        assert "resume_job(rows='missing')" in page["notice"]
        assert (await call(client, "get_results", job_id=job_id, keys=["k0"]))["results"][0]["outcome"] == "ok"
