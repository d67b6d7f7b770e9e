"""A source is read once: what a scan has shown is kept until the file, or anything the scan depended on, changes."""

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp_types import ElicitResult

from genai_batch.resources import scans
from genai_batch.resources.requests import Preflight
from genai_batch.server.settings import open_workspace
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.estimate_cost import estimate_cost
from tests.world import MODEL, World, call, finish, row

pytestmark = pytest.mark.anyio
ROWS = [{**row(f"k{n}", f"Prompt {n}."), "topic": f"t{n}", "weight": n} for n in range(50)]
HEARD: list[Callable[[Path], None]] = []


def _hear(event: str, about: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(about[0], str):
        for hear in HEARD:
            hear(Path(about[0]))


sys.addaudithook(_hear)  # there is no way to take it off again


@contextmanager
def reads_of(source: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[list[int]]:
    """Count how often a source is read through while the block lasts."""
    scanned, run = list[int](), Preflight.run

    def counted(self: Preflight, *args: Any) -> Preflight:
        if self.source == source:
            scanned.append(1)
        return run(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Preflight, "run", counted)
        yield scanned


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file that was just written be trusted."""
    monkeypatch.setattr(scans, "RACY_S", -1.0)


def _job_files(world: World, job_id: str) -> tuple[bytes, bytes]:
    folder = world.home / "jobs" / job_id
    return (folder / "requests.jsonl").read_bytes(), (folder / "extras.jsonl").read_bytes()


@pytest.mark.usefixtures("trusted")
async def test_create_after_estimate_sends_what_was_scanned_without_reading_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.work / world.write("a.jsonl", ROWS)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        plain = await create_batch("a.jsonl", here, MODEL)
        (fresh := world.work / "b.jsonl").write_bytes(source.read_bytes())
        with reads_of(fresh, monkeypatch) as reads:
            first = await estimate_cost("b.jsonl", here, MODEL)
            again = await estimate_cost("b.jsonl", here, MODEL)
            job = await create_batch("b.jsonl", here, MODEL, again=True)
            await create_batch("b.jsonl", here, MODEL, again=True)
        assert (len(reads), first.model_dump()) == (1, again.model_dump())
    assert _job_files(world, job.job_id) == _job_files(world, plain.job_id)
    assert _job_files(world, job.job_id)[1].count(b"topic") == 50


@pytest.mark.usefixtures("trusted")
async def test_one_create_with_a_question_and_marks_reads_its_source_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.work / world.write("a.jsonl", ROWS)
    opened: list[Path] = []

    async def agree(*_: object) -> ElicitResult:
        return ElicitResult(action="accept", content={"approve": True})

    async with world.client(elicitation_callback=agree, max_cost_usd=0.0) as client:
        HEARD.append(lambda path: opened.append(path) if path == source else None)
        try:
            with reads_of(source, monkeypatch) as reads:
                job = await call(client, "create_batch", source="a.jsonl", model=MODEL, check_binding=True)
        finally:
            HEARD.clear()
        status = await finish(client, job["job_id"])
    assert status["counts"] == {"ok": 50}
    assert len(reads) == 1
    assert len(opened) <= 5  # once through; the others are looks at its first bytes
    assert _job_files(world, job["job_id"])[1].count(b"topic") == 50


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("changed", ["content", "model", "racy"])
async def test_what_may_have_changed_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    source, model = world.work / world.write("a.jsonl", ROWS), MODEL
    async with open_workspace(world.settings(), lambda: world.time) as here:
        await estimate_cost("a.jsonl", here, model)
        if changed == "content":
            before = source.stat()
            source.write_bytes(source.read_bytes().replace(b"Prompt 7.", b"Prompt 8."))
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
        if changed == "model":
            model = "gemini-2.5-flash"
        if changed == "racy":
            monkeypatch.setattr(scans, "RACY_S", 3_600.0)
        with reads_of(source, monkeypatch) as reads:
            job = await create_batch("a.jsonl", here, model)
    assert len(reads) == 1
    sent = [json.loads(line)["request"] for line in _job_files(world, job.job_id)[0].splitlines()]
    assert sent == [json.loads(line)["request"] for line in source.read_bytes().splitlines()]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("damaged", ["requests.jsonl", "extras.jsonl", "scan"])
async def test_a_kept_scan_that_is_torn_is_made_anew(world: World, damaged: str) -> None:
    source = world.work / world.write("a.jsonl", ROWS)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        await estimate_cost("a.jsonl", here, MODEL)
        [folder] = (world.home / "scans").iterdir()
        kept = (folder / damaged).read_bytes()
        (folder / damaged).write_bytes(kept[: len(kept) // 2])
        job = await create_batch("a.jsonl", here, MODEL)
    sent, extras = _job_files(world, job.job_id)
    assert len(sent.splitlines()) == len(extras.splitlines()) == len(source.read_bytes().splitlines())
    assert extras.count(b"topic") == 50


@pytest.mark.usefixtures("trusted")
async def test_kept_scans_are_few_private_and_go_after_a_day(world: World) -> None:
    async with open_workspace(world.settings(), lambda: world.time) as here:
        for n in range(8):
            await estimate_cost(world.write(f"{n}.jsonl", ROWS[: n + 2]), here, MODEL)
    folder = world.home / "scans"
    assert 1 <= len(list(folder.iterdir())) <= 4
    assert {file.stat().st_mode & 0o777 for kept in folder.iterdir() for file in kept.iterdir()} == {0o600}
    scans.sweep(folder, max(kept.stat().st_mtime for kept in folder.iterdir()) + 2 * 86_400)
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("trusted")
async def test_a_disk_that_takes_no_scan_keeps_none_and_the_source_is_priced_all_the_same(world: World) -> None:
    world.write("a.jsonl", ROWS)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        (world.home / "scans").write_text("in the way")
        assert (await estimate_cost("a.jsonl", here, MODEL)).requests == 50
        assert (await create_batch("a.jsonl", here, MODEL)).requests == 50


def test_a_file_that_may_be_given_up_hides_a_full_disk() -> None:
    with Path("/dev/full").open("rb") if Path("/dev/full").exists() else pytest.skip("no full disk here"):
        file = scans.Spare("/dev/full", "wb")
        assert file.write(b"x" * 10) == 10
        assert file.lost
        file.close()
