"""The emulator in a process of its own: sockets, signals, crashes, several processes on one state folder."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from google.genai import Client, types

from genai_batch.server.emulator import create_app

from .bench import MODEL, Bench, jsonl, line, lines, listening


def advance(address: str, seconds: float = 10) -> None:
    """Let time pass."""
    httpx2.post(f"{address}/emulator/clock", json={"advance_s": seconds, "freeze": True}).raise_for_status()


def arm(address: str, **fault: object) -> None:
    """Arm a fault."""
    httpx2.post(f"{address}/emulator/faults", json=fault).raise_for_status()


def sdk(address: str) -> Any:
    """The synchronous SDK on a socket."""
    return Client(api_key="key-1", http_options=types.HttpOptions(base_url=address, timeout=20_000))


def upload(client: Any, folder: Path, rows: int = 3) -> str:
    """An input file's name."""
    path = folder / "input.jsonl"
    path.write_bytes(jsonl(lines(rows)))
    return str(client.files.upload(file=path, config={"mime_type": "application/jsonl"}).name)


def test_the_synchronous_sdk_goes_through_a_whole_life(tmp_path: Path) -> None:
    with listening(tmp_path / "state") as (address, _), sdk(address) as client:
        advance(address, 0)
        batch = client.batches.create(model=MODEL, src=upload(client, tmp_path), config={"display_name": "x"})
        name = str(batch.name)
        assert client.batches.get(name=name).state == types.JobState.JOB_STATE_PENDING
        advance(address)
        done = client.batches.get(name=name)
        assert done.done
        assert done.dest is not None
        target = tmp_path / "out.jsonl"
        client.files.download(file=str(done.dest.file_name), destination=target)
        assert [json.loads(row)["key"] for row in target.read_bytes().splitlines()] == ["r0", "r1", "r2"]
        assert [job.name for job in client.batches.list(config={"page_size": 1})] == [name]
        client.batches.cancel(name=name)
        client.batches.delete(name=name)
        client.files.delete(name=str(next(iter(client.files.list(config={"page_size": 1}))).name))
        assert list(client.batches.list(config={"page_size": 1})) == []


def test_a_dropped_connection_is_a_transport_error(tmp_path: Path) -> None:
    with listening(tmp_path / "state") as (address, _), sdk(address) as client:
        source = upload(client, tmp_path)
        for fault, jobs in (("drop_before", 0), ("drop_after", 1)):
            arm(address, fault=fault, call="create")
            with pytest.raises(httpx2.TransportError):
                client.batches.create(model=MODEL, src=source)
            assert len(list(client.batches.list(config={"page_size": 5}))) == jobs


@pytest.mark.parametrize("fault", ["download_drop", "short_body"])
def test_a_broken_download_is_a_transport_error(tmp_path: Path, fault: str) -> None:
    with listening(tmp_path / "state") as (address, _), sdk(address) as client:
        advance(address, 0)
        batch = client.batches.create(model=MODEL, src=upload(client, tmp_path))
        advance(address)
        arm(address, fault=fault, at_byte=100)
        name = f"files/batch-{str(batch.name).removeprefix('batches/')}"
        with pytest.raises(httpx2.TransportError):
            client.files.download(file=name)
        assert len(client.files.download(file=name).splitlines()) == 3


def test_a_redirected_download_is_followed(tmp_path: Path) -> None:
    with listening(tmp_path / "state") as (address, _), sdk(address) as client:
        advance(address, 0)
        source = upload(client, tmp_path)
        arm(address, fault="redirect")
        assert len(client.files.download(file=source).splitlines()) == 3


def test_a_client_that_stops_waiting_does_not_hold_the_server(tmp_path: Path) -> None:
    with listening(tmp_path / "state") as (address, process):
        arm(address, fault="hang", call="list")
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.get(f"{address}/v1/batches", headers={"x-goog-api-key": "k"}, timeout=0.2)
        assert httpx2.get(f"{address}/v1/batches", headers={"x-goog-api-key": "k"}).json() == {}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with listening(tmp_path / "state") as (address, process):
        assert httpx2.get(f"{address}/emulator").status_code == 200
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_what_was_accepted_survives_a_kill(tmp_path: Path) -> None:
    with listening(tmp_path / "state") as (address, process), sdk(address) as client:
        advance(address, 0)
        source = upload(client, tmp_path)
        batch = client.batches.create(model=MODEL, src=source, config={"display_name": "kept"})
        process.kill()
        process.wait(timeout=10)
    with listening(tmp_path / "state", PYTHONHASHSEED="1") as (address, _), sdk(address) as client:
        advance(address)
        job = client.batches.get(name=str(batch.name))
        assert (job.display_name, job.done) == ("kept", True)
        assert job.dest is not None
        assert len(client.files.download(file=str(job.dest.file_name)).splitlines()) == 3
        assert client.files.get(name=source).name == source


def test_an_upload_goes_on_after_a_kill(tmp_path: Path) -> None:
    headers = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"}
    with listening(tmp_path / "state") as (address, process):
        start = httpx2.post(f"{address}/upload/v1/files", headers={"x-goog-api-key": "k"}, json={})
        session = start.headers["x-goog-upload-url"].removeprefix(address)
        httpx2.post(address + session, content=b"abc", headers=headers).raise_for_status()
        process.kill()
        process.wait(timeout=10)
    with listening(tmp_path / "state") as (address, _):
        asked = httpx2.post(address + session, headers={"X-Goog-Upload-Command": "query"})
        assert asked.headers["x-goog-upload-size-received"] == "3"
        last = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "3"}
        done = httpx2.post(address + session, content=b"def", headers=last)
        assert done.json()["file"]["sizeBytes"] == "6"


def test_two_servers_on_one_folder_agree(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with listening(state) as (first, _), listening(state) as (second, _), sdk(first) as one, sdk(second) as two:
        advance(first, 0)
        names = {str(client.batches.create(model=MODEL, src=upload(client, tmp_path)).name) for client in (one, two)}
        assert {str(job.name) for job in two.batches.list(config={"page_size": 5})} == names
        advance(second)
        result = f"files/batch-{names.pop().removeprefix('batches/')}"
        assert one.files.download(file=result) == two.files.download(file=result)


def test_a_server_brings_its_scenario(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(json.dumps({"faults": [{"fault": "http_error", "call": "list", "code": 503}]}))
    for _ in range(2):
        with listening(tmp_path / "state", scenario) as (address, _):
            replies = [httpx2.get(f"{address}/v1/batches", headers={"x-goog-api-key": "k"}) for _ in range(2)]
            assert [one.status_code for one in replies] == [503, 200]


@pytest.mark.anyio
async def test_a_large_job_stays_out_of_memory(bench: Bench) -> None:
    import tracemalloc

    rows = b"".join(jsonl([line(f"r{i}", "x" * 50_000)]) for i in range(600))
    await bench.admin("faults", fault="row", outcome="ok", output_chars=50_000)
    tracemalloc.start()
    name = await bench.create(rows)
    await bench.advance()
    key = f"/v1/files/batch-{name.removeprefix('batches/')}"
    size = int((await bench.get(key))["sizeBytes"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 25_000_000


PROGRAM = """
import asyncio, sys
from pathlib import Path
import anyio
import httpx2
from genai_batch.server.emulator import create_app

async def main():
    transport, key = httpx2.ASGITransport(create_app(Path(sys.argv[1]))), {"x-goog-api-key": "k"}
    path = "http://emulator/v1/models/gemini-3.8-flash"
    async with httpx2.AsyncClient(transport=transport, headers=key) as http:
        for i in range(20):
            body = {"contents": [{"parts": [{"text": str(i)}]}]}
            (await http.post(path + ":generateContent", json=body)).raise_for_status()
            batch = {"inputConfig": {"requests": {"requests": [{"request": body}]}}, "displayName": "x"}
            (await http.post(path + ":batchGenerateContent", json={"batch": batch})).raise_for_status()

asyncio.run(main())
"""


@pytest.mark.anyio
async def test_processes_that_start_at_once_on_a_new_folder_lose_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(anyio.run_process, [sys.executable, "-c", PROGRAM, str(state)])
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(create_app(state)), base_url="http://emulator"
    ) as http:
        bill = next(iter((await http.get("/emulator/billing")).json().values()))
    assert (bill["live_calls"], len(bill["batches"])) == (80, 80)
