"""Files too large for a request are uploaded: once per content, before what names them, under the provider's clock."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from genai_batch.resources import jobs
from genai_batch.resources.requests import Cut
from genai_batch.server.emulator import create_app
from genai_batch.tools.lanes.embedded import EmbeddedTransport
from genai_batch.tools.lanes.means import Pace
from tests.built import manifest, picture
from tests.processes import ending
from tests.test_media_tokens import mp4
from tests.world import World, call, finish, refusal, start, stopped

pytestmark = pytest.mark.anyio
LANES = pytest.mark.parametrize("lane", ["batch", "live"])
MB = 1_000_000


def big(world: World, name: str, size: int, head: bytes = b"\0\0\0\x18ftypisom") -> None:
    """Write a large file that takes no room on the disk."""
    path = world.work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head + name.encode())
        file.truncate(size)


def clips(world: World, count: int = 1, **fields: Any) -> str:
    """A manifest over a folder of videos."""
    for number in range(count):
        big(world, f"in/{number}.mp4", 20 * MB)
    return manifest(world, folder="in", prompt="What is to be seen?", **fields)


def shared(world: World, rows: int = 30) -> str:
    """A manifest of many rows that share a picture."""
    big(world, "ref.png", 2 * MB, picture())
    items = [{"id": f"r{n}", "prompt": "Like it?"} for n in range(rows)]
    return manifest(world, defaults={"images": "ref.png"}, items=items)


async def stored(world: World) -> list[str]:
    """The MIME types of files at the provider that are no requests, in the order of their uploads."""
    transport = EmbeddedTransport(create_app(world.home / "emulator"))
    headers = {"x-goog-api-key": "offline"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://emulator.invalid/v1", headers=headers) as http:
        files = (await http.get("/files?pageSize=100")).json().get("files", [])
    return [file["mimeType"] for file in reversed(files) if file["mimeType"] != "application/jsonl"]


async def expire(world: World) -> None:
    """Have every file at the provider end now."""
    transport = EmbeddedTransport(create_app(world.home / "emulator"))
    headers = {"x-goog-api-key": "offline"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://emulator.invalid/v1", headers=headers) as http:
        for file in (await http.get("/files?pageSize=100")).json().get("files", []):
            await world.arm("expire_file", name=file["name"])


@LANES
async def test_a_large_video_in_a_folder_is_uploaded_and_asked_about(world: World, lane: str) -> None:
    source = clips(world, 2)
    async with world.client() as client:
        job_id = await start(client, source, lane=lane)
        status = await finish(client, job_id)
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 2})
    assert await stored(world) == ["video/mp4"] * 2
    raw = jobs.requests_file(world.home, job_id).read_bytes()
    assert raw.count(b'"fileUri":"local:') == 2, "what was recorded names contents, whatever their URIs are"
    assert len(raw) < 1_000


@LANES
async def test_thirty_rows_that_share_a_picture_are_one_upload_and_the_same_run_again_none(
    world: World, lane: str
) -> None:
    source = shared(world)
    async with world.client() as client:
        first = await start(client, source, lane=lane)
        assert (await finish(client, first))["counts"] == {"ok": 30}
        assert await start(client, source, lane=lane) == first
        again = await start(client, source, lane=lane, again=True)
        assert (await finish(client, again))["counts"] == {"ok": 30}
    assert await stored(world) == ["image/png"]


async def test_the_same_content_under_another_name_and_in_the_other_lane_is_not_uploaded_again(world: World) -> None:
    async with world.client() as client:
        await finish(client, await start(client, shared(world)))
        (world.work / "ref.png").rename(world.work / "other.png")
        items = [{"id": n, "prompt": "And now?", "images": "other.png"} for n in "ab"]
        await finish(client, await start(client, manifest(world, items=items), lane="live"))
    assert await stored(world) == ["image/png"]


@pytest.mark.parametrize(
    ("lane", "hours", "uploads"), [("batch", 20, 1), ("batch", 25, 2), ("live", 46, 1), ("live", 47.5, 2)]
)
async def test_an_upload_is_used_again_while_it_lives_long_enough(
    world: World, lane: str, hours: float, uploads: int
) -> None:
    source = shared(world, 2)
    async with world.client() as client:
        await finish(client, await start(client, source, lane=lane))
        await world.advance(hours * 3600)
        again = await finish(client, await start(client, source, lane=lane, again=True))
    assert (again["counts"], len(await stored(world))) == ({"ok": 2}, uploads)


async def test_a_job_whose_file_was_changed_stops_and_goes_on_once_it_is_put_back(world: World) -> None:
    source, path = clips(world, 2), world.work / "in/1.mp4"
    await world.arm("http_error", call="upload_start", code=503, times=None)
    async with world.client() as client:
        job_id = await start(client, source)
        with path.open("r+b") as file:  # as large as before
            file.seek(10 * MB)
            file.write(b"another scene")
        await world.admin("DELETE", "/faults")
        status = await finish(client, job_id)
        assert status["state"] == "JOB_STATE_FAILED"
        assert f"{path} (of '1.mp4') was changed since the job was made" in status["notice"]
        assert not await world.bill()
        with path.open("r+b") as file:
            file.seek(10 * MB)
            file.write(bytes(13))
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 2}
    assert await stored(world) == ["video/mp4"] * 2, "a file that was changed never became one there"


async def test_a_missing_file_is_an_error_of_its_rows_in_the_live_lane_and_the_others_go_on(world: World) -> None:
    source = clips(world, 3)
    await world.arm("http_error", call="generate", code=429, quota_id="RequestsPerDay", after=1, times=1)
    async with world.client() as client:
        job_id = await start(client, source, lane="live", concurrency=1)
        await stopped(client, job_id)
        (world.work / "in/2.mp4").unlink()
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 2, "error": 1}
        wrong = await call(client, "get_results", job_id=job_id, outcome="error")
        assert "in/2.mp4 (of '2.mp4') cannot be read any more" in wrong["results"][0]["error"]["message"]
        big(world, "in/2.mp4", 20 * MB)
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 3}


async def test_rows_whose_file_ended_at_gemini_are_sent_again_with_another_upload(world: World) -> None:
    source = shared(world, 3)
    await world.arm("expire_file", after_s=0)
    async with world.client() as client:
        job_id = await start(client, source)
        assert (await finish(client, job_id))["counts"] == {"error": 3}
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 3}


async def test_what_is_being_uploaded_is_told_and_a_cancelled_job_uploads_no_more(world: World) -> None:
    await world.arm("slow", call="upload_chunk", delay_s=0.3, times=None)
    async with world.client() as client, world.client() as other, anyio.create_task_group() as tasks:
        tasks.start_soon(start, client, clips(world, 9))
        said = ""
        while "files are uploaded" not in said and "SUCCEEDED" not in said:
            await anyio.sleep(0.05)
            for job in (await call(other, "list_jobs"))["jobs"]:
                status = await call(other, "check_status", job_id=job["job_id"])
                said = f"{status['state']} {status.get('notice')}"
        assert "of 9 files are uploaded, " in said
        assert " of 180 MB; the requests follow." in said
        job_id = (await call(other, "list_jobs"))["jobs"][0]["job_id"]
        await call(other, "cancel_job", job_id=job_id)
    assert len(await stored(world)) < 9
    assert not await world.bill()


async def test_what_was_uploaded_before_a_trouble_is_not_uploaded_again(world: World) -> None:
    await world.arm("http_error", call="create", code=429, times=None)
    async with world.client() as client:
        job_id = await start(client, clips(world, 3))
    await world.admin("DELETE", "/faults")
    async with world.client() as client:
        assert (await finish(client, job_id))["counts"] == {"ok": 3}
    assert len(await stored(world)) == 3


async def test_a_file_that_ends_in_a_live_run_is_uploaded_once_more_for_all_rows(world: World) -> None:
    source = shared(world, 40)
    await world.arm("slow", call="generate", after=8, times=4, delay_s=2)
    async with world.client() as client:
        job_id = await start(client, source, lane="live", concurrency=4)
        with anyio.fail_after(30):
            while len(await world.calls("generateContent")) < 8:
                pass  # the call lets others run; after the eighth the run stands still for a moment
        await expire(world)
        assert (await finish(client, job_id))["counts"] == {"ok": 40}
    assert await stored(world) == ["image/png"]
    refused = [each for each in await world.calls("generateContent") if each["status"] == 403]
    assert 0 < len(refused) <= 4


async def test_a_process_killed_between_the_uploads_and_the_batch_leaves_them_to_the_next(world: World) -> None:
    await world.arm("hang", call="create")
    command = [sys.executable, "-m", "genai_batch", "create", clips(world, 2)]
    with ending(subprocess.Popen(command, env=world.env(), cwd=world.work, stderr=subprocess.DEVNULL)) as process:
        while not (await world.admin("GET", "/faults"))["armed"][0]["struck"]:
            assert process.poll() is None
            await anyio.sleep(0.05)
        process.kill()
    world.time = time.time() + 120
    async with world.client() as client:
        job = (await call(client, "list_jobs"))["jobs"][0]
        assert (await finish(client, job["job_id"]))["counts"] == {"ok": 2}
    assert await stored(world) == ["video/mp4"] * 2


async def test_two_processes_that_need_the_same_file_upload_it_once(world: World) -> None:
    await world.arm("slow", call="upload_chunk", delay_s=0.5)
    async with world.client() as one, world.client() as other, anyio.create_task_group() as tasks:
        first = shared(world, 2)
        second = world.write("other.yaml", (world.work / first).read_text().replace("Like it?", "Is it blue?"))
        tasks.start_soon(start, one, first)
        tasks.start_soon(start, other, second)
    assert await stored(world) == ["image/png"]


@LANES
async def test_a_video_is_waited_for_until_gemini_has_made_it_ready(world: World, lane: str) -> None:
    await world.set(process_s=0.5)
    async with world.client() as client:
        assert (await finish(client, await start(client, clips(world), lane=lane)))["counts"] == {"ok": 1}


@LANES
async def test_a_file_that_gemini_cannot_read_is_named(world: World, lane: str) -> None:
    await world.arm("process_fails")
    async with world.client() as client:
        if lane == "batch":
            assert "Gemini could not read" in await refusal(client, "create_batch", source=clips(world))
        else:
            job_id = await start(client, clips(world), lane=lane)
            assert (await finish(client, job_id))["counts"] == {"error": 1}
            wrong = await call(client, "get_results", job_id=job_id)
            assert "in/0.mp4 (of '0.mp4')" in wrong["results"][0]["error"]["message"]


async def test_a_job_of_several_batches_carries_its_files_in_each(world: World) -> None:
    async with world.client(cut=Cut(bytes=18_000)) as client:  # each of more rows than are sent inline
        status = await finish(client, await start(client, shared(world, 200)))
    assert (status["counts"], status["shards"]) == ({"ok": 200}, 3)
    assert await stored(world) == ["image/png"]
    uploads = [each for each in await world.calls("/upload/") if each["path"].endswith("/files")]
    assert len(uploads) == 1 + 2, "the picture, and the requests of two batches; those of the last go inline"


async def test_the_estimate_says_what_is_uploaded_and_counts_what_headers_tell(world: World) -> None:
    big(world, "in/film.mp4", 20 * MB, mp4(100))
    async with world.client() as client:
        known = await call(client, "estimate_cost", source=manifest(world, folder="in", prompt="What?"))
    assert known["upload_bytes"] == 20 * MB
    assert "warnings" not in known or not any("guessed" in each["problem"] for each in known["warnings"])
    assert 6_000 < known["input_tokens"]["likely"] < 30_000


async def test_a_file_larger_than_gemini_takes_is_left_out_or_refused_with_its_item(world: World) -> None:
    big(world, "in/long.mp4", 2_100 * MB)
    async with world.client() as client:
        source = manifest(world, items=[{"id": "a", "prompt": "What?", "files": "in/long.mp4"}])
        answer = await refusal(client, "create_batch", source=source)
    assert "items[0]: file 'in/long.mp4' has 2,100 MB; Gemini takes 2,000 MB a file" in answer


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells which files a process reads")
@pytest.mark.parametrize("size", [1, 601])
async def test_a_file_that_is_cut_or_grows_while_it_is_hashed_is_told_as_being_written(world: World, size: int) -> None:
    big(world, "clip.mp4", 600 * MB)
    source = manifest(world, items=[{"id": "a", "prompt": "What?", "files": "clip.mp4"}])
    command = [sys.executable, "-m", "genai_batch", "estimate", source]
    with ending(subprocess.Popen(command, env=world.env(), cwd=world.work, stderr=subprocess.PIPE)) as process:
        while not reads(process.pid, world.work / "clip.mp4"):
            assert process.poll() is None
        os.truncate(world.work / "clip.mp4", size * MB)
        _, said = process.communicate(timeout=30)
    assert "items[0]: file 'clip.mp4' is being written" in said.decode()
    assert process.returncode == 2


def reads(process: int, path: Path) -> bool:
    """Whether a process has a file open, or mapped, and has read more than its head."""
    own = Path("/proc") / str(process)
    if str(path) in (own / "maps").read_text():
        return True
    for each in (own / "fd").iterdir():
        with suppress(OSError):
            if each.readlink() == path and int((own / "fdinfo" / each.name).read_text().split()[1]) > MB:
                return True
    return False


async def test_a_pipe_in_the_place_of_a_file_is_refused_with_its_item(world: World) -> None:
    os.mkfifo(world.work / "p.mp4")
    async with world.client() as client:
        source = manifest(world, items=[{"id": "a", "prompt": "What?", "files": "p.mp4"}])
        with anyio.fail_after(20):
            answer = await refusal(client, "estimate_cost", source=source)
    assert "items[0]: file 'p.mp4' cannot be read: it is a pipe, a socket or a device" in answer


@LANES
async def test_a_pipe_that_took_the_place_of_a_file_of_a_job_stops_what_needs_it(world: World, lane: str) -> None:
    source, path = clips(world), world.work / "in/0.mp4"
    await world.arm("http_error", call="upload_start", code=503, times=None)
    async with world.client() as client:
        job_id = await start(client, source, lane=lane)
        path.unlink()
        os.mkfifo(path)
        await world.admin("DELETE", "/faults")
        with anyio.fail_after(20):
            status = await finish(client, job_id)
        said = str(status["notice"])
        if lane == "live":
            said = (await call(client, "get_results", job_id=job_id))["results"][0]["error"]["message"]
    assert f"{path} (of '0.mp4') cannot be read any more (it is a pipe, a socket or a device)" in said


def test_files_that_never_answer_keep_neither_the_loop_nor_the_end_of_the_process_waiting() -> None:
    program = """
import asyncio, threading
from genai_batch.tools.lanes.aside import aside
asyncio.run(aside(threading.Event().wait, "a file", 0.05))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=False)
    assert b"Nothing was heard of a file for 0.05 s" in ended.stderr


@LANES
async def test_a_job_goes_on_once_it_is_created_again_from_where_its_files_lie_now(world: World, lane: str) -> None:
    clips(world)
    await world.arm("http_error", call="upload_start", code=503, times=None)
    async with world.client(pace=Pace(0, 60, 60)) as client:  # it is not looked for at its old place in between
        job_id = await start(client, manifest(world, folder="in", prompt="What is to be seen?"), lane=lane)
        source = moved(world)
        again = await call(client, "create_batch", source=source, lane=lane)
        await world.admin("DELETE", "/faults")
        assert (again["job_id"], "Its files are now read from where" in again["notice"]) == (job_id, True)
        await world.advance(120)
        if (await finish(client, job_id))["counts"] != {"ok": 1}:
            await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 1}
        assert "are now" not in (await call(client, "create_batch", source=source, lane=lane))["notice"]


async def test_a_job_that_failed_for_a_moved_file_can_be_begun_again_and_resumed(world: World) -> None:
    job_id, source = await failed(world), moved(world)
    async with world.client() as client:
        estimate = (await call(client, "check_status", job_id=job_id))["cost_usd"]["estimate"]
        anew = await start(client, source)
        assert (await finish(client, anew))["counts"] == {"ok": 1}
        assert anew != job_id
        await call(client, "resume_job", job_id=job_id)
        resumed = await finish(client, job_id)
    assert (resumed["counts"], resumed["cost_usd"]["estimate"]) == ({"ok": 1}, pytest.approx(estimate, rel=0.5))


async def test_live_rows_whose_file_was_moved_are_told_as_worth_sending_again_and_are(world: World) -> None:
    source, path = clips(world), world.work / "in/0.mp4"
    async with world.client() as client:
        await world.arm("http_error", call="upload_start", code=503, times=None)
        job_id = await start(client, source, lane="live")
        path.rename(world.work / "away.mp4")
        await world.admin("DELETE", "/faults")
        estimate = (await finish(client, job_id))["cost_usd"]["estimate"]
        (world.work / "away.mp4").rename(path)
        source = moved(world)
        wrong = (await call(client, "get_results", job_id=job_id))["results"][0]["error"]
        again = await call(client, "create_batch", source=source, lane="live")
        await call(client, "resume_job", job_id=job_id)
        resumed = await finish(client, job_id)
    assert (wrong["retryable"], "resume_job if that finds the same job" in wrong["message"]) == (True, True)
    assert "resume_job sends the rows that failed" in again["notice"]
    assert (resumed["counts"], resumed["cost_usd"]["estimate"]) == ({"ok": 1}, estimate)


def moved(world: World) -> str:
    """The same manifest over the same files, which lie elsewhere now."""
    (world.work / "in").rename(world.work / "in2")
    return manifest(world, folder="in2", prompt="What is to be seen?")


async def failed(world: World) -> str:
    """A job whose file was away when it was to be sent, and is back by now."""
    source, path = clips(world), world.work / "in/0.mp4"
    await world.arm("http_error", call="upload_start", code=503, times=None)
    async with world.client() as client:
        job_id = await start(client, source)
        path.rename(world.work / "away.mp4")
        await world.admin("DELETE", "/faults")
        assert (await finish(client, job_id))["state"] == "JOB_STATE_FAILED"
    (world.work / "away.mp4").rename(path)
    return job_id


async def test_requests_for_other_tools_name_no_local_files(world: World) -> None:
    source = clips(world)
    async with world.client() as client:
        answer = await refusal(client, "build_requests", output_path="a.jsonl", data=source)
        assert "create_batch (or run) of the manifest itself uploads it" in answer
        part = {"fileData": {"mimeType": "video/mp4", "fileUri": "local:" + "0" * 64}}
        row = {"key": "a", "request": {"contents": [{"role": "user", "parts": [part]}]}}
        assert "names a local file that is not known" in await refusal(
            client, "create_batch", source=world.write("b.jsonl", [row]), model="gemini-3.8-flash"
        )
