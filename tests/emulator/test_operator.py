"""Clock, settings, scenario, bills, log and reset."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genai_batch.server.emulator import create_app

from .bench import MODEL, Bench, line, lines

pytestmark = pytest.mark.anyio


async def bill(bench: Bench) -> dict[str, Any]:
    """The only client's bill."""
    return next(iter((await bench.get("/emulator/billing")).values()))


async def test_the_emulator_says_what_it_is(bench: Bench) -> None:
    shown = await bench.get("/emulator")
    assert "No model is called" in shown["emulator"]
    assert shown["settings"]["queue_s"] == 1.0
    assert shown["clock"]["frozen"] is True


async def test_a_frozen_clock_moves_only_when_told(bench: Bench) -> None:
    await bench.admin("clock", now="2027-01-01T00:00:00Z")
    assert (await bench.get("/emulator/clock"))["now"] == "2027-01-01T00:00:00.000000000Z"
    await bench.advance(90)
    assert (await bench.get("/emulator/clock"))["now"] == "2027-01-01T00:01:30.000000000Z"


async def test_a_clock_runs_on_from_where_it_was_thawed(bench: Bench) -> None:
    await bench.admin("clock", now="2027-01-01T00:00:00Z", rate=1e6)
    before = (await bench.get("/emulator/clock"))["epoch_s"]
    await bench.admin("clock", freeze=False)
    assert (await bench.get("/emulator/clock"))["epoch_s"] > before


async def test_polls_can_drive_the_clock(bench: Bench) -> None:
    await bench.admin("clock", per_poll_s=1.5)
    name = await bench.create(lines(4))
    states = [(await bench.get(f"/v1/{name}"))["metadata"]["state"].removeprefix("BATCH_STATE_") for _ in range(3)]
    assert states == ["RUNNING", "SUCCEEDED", "SUCCEEDED"]


async def test_bad_settings_and_clocks_are_refused(bench: Bench) -> None:
    assert (await bench.http.post("/emulator/settings", json={"queue": 1})).status_code == 400
    assert (await bench.http.post("/emulator/settings", json={"tier": 9})).status_code == 400
    assert (await bench.http.post("/emulator/clock", json={"advance_s": "long"})).status_code == 400


async def test_a_finished_job_is_billed_once(bench: Bench) -> None:
    await bench.create(lines(3), name="mine")
    assert (await bill(bench))["rows_billed"] == 0
    await bench.advance()
    found = await bill(bench)
    assert [(one["display_name"], one["state"]) for one in found["batches"]] == [("mine", "SUCCEEDED")]
    assert (found["rows_billed"], found["rows_billed_more_than_once"]) == (3, 0)
    assert found["input_tokens"] == 6
    assert found["output_tokens"] > 0
    assert found["thought_tokens"] > 0


async def test_rows_of_two_jobs_are_billed_twice_and_counted_so(bench: Bench) -> None:
    await bench.create([line("a"), line("b"), line("c")])
    await bench.create([line("b"), line("c", "another prompt"), line("d")])
    assert (await bill(bench))["rows_accepted_more_than_once"] == 1
    await bench.advance()
    found = await bill(bench)
    assert (found["rows_billed"], found["rows_billed_more_than_once"]) == (6, 1)


async def test_failed_rows_and_cancelled_jobs_are_not_billed(bench: Bench) -> None:
    cancelled = await bench.create(lines(2))
    await bench.sdk().aio.batches.cancel(name=cancelled)
    await bench.admin("faults", fault="row", match={"key": "r0"}, outcome="error")
    await bench.create(lines(3))
    await bench.advance()
    assert (await bill(bench))["rows_billed"] == 2


async def test_a_deleted_job_stays_on_the_bill(bench: Bench) -> None:
    name = await bench.create(lines(3))
    await bench.advance()
    await bench.sdk().aio.batches.delete(name=name)
    assert (await bill(bench))["rows_billed"] == 3


async def test_clients_have_bills_of_their_own(bench: Bench) -> None:
    for key in ("key-1", "key-2"):
        await bench.sdk(key).aio.models.generate_content(model=MODEL, contents="x")
    bills = await bench.get("/emulator/billing")
    assert [one["live_calls"] for one in bills.values()] == [1, 1]
    assert "key-1" not in json.dumps(bills)


async def test_the_log_shows_calls_in_order(bench: Bench) -> None:
    await bench.create(lines(1))
    calls = (await bench.get("/emulator/log"))["calls"]
    assert [(one["kind"], one["status"]) for one in calls] == [
        ("upload_start", 200),
        ("upload_chunk", 200),
        ("create", 200),
    ]


async def test_the_log_is_bounded(bench: Bench) -> None:
    for _ in range(1005):
        await bench.get("/v1/models/gemini-3.8-flash")
    assert len((await bench.get("/emulator/log"))["calls"]) == 1000


async def test_a_scenario_sets_everything_at_once_and_only_once(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    body: dict[str, Any] = {
        "settings": {"queue_s": 5},
        "clock": {"freeze": True},
        "faults": [{"fault": "http_error", "call": "list", "code": 503}],
        "rows": [{"match": {"key": "^a"}, "outcome": "blocked", "finish_reason": "SAFETY"}],
    }
    scenario.write_text(json.dumps(body))
    statuses: list[int] = []
    for _ in range(2):
        app = create_app(tmp_path / "state", scenario)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://emulator") as http:
            statuses.append((await http.get("/v1/batches", headers={"x-goog-api-key": "k"})).status_code)
            shown = (await http.get("/emulator")).json()
            assert shown["settings"]["queue_s"] == 5
            assert shown["clock"]["frozen"] is True
            assert shown["faults_armed"] == 2
    assert statuses == [503, 200]


async def test_a_scenario_with_a_misspelt_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="not setings"):
        create_app(tmp_path / "state", {"setings": {}})


async def test_a_reset_forgets_all_but_the_scenario(tmp_path: Path) -> None:
    app = create_app(tmp_path / "state", {"rows": [{"match": {"key": "x"}, "outcome": "empty"}]})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://emulator") as http:
        bench = Bench(tmp_path, app, http)
        await bench.create(lines(2))
        await bench.admin("settings", queue_s=9)
        await bench.admin("reset")
        assert await bench.get("/v1/batches") == {}
        shown = await bench.get("/emulator")
        assert (shown["settings"]["queue_s"], shown["faults_armed"]) == (1.0, 1)
        assert list((tmp_path / "state/blobs").iterdir()) == []


async def test_two_apps_on_one_folder_are_one_emulator(bench: Bench, tmp_path: Path) -> None:
    name = await bench.create(lines(2))
    app = create_app(tmp_path / "state")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://emulator") as http:
        other = Bench(tmp_path, app, http)
        await other.advance()
        content = await other.download(name)
    assert content == await bench.download(name)
