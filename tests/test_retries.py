"""A call that is safe to repeat is made again at once, a few times, as the provider asks; a create never is."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import stamina

from genai_batch.resources.errors import ProviderError
from genai_batch.server.emulator import create_app
from genai_batch.tools.lanes import gemini, retrying
from genai_batch.tools.lanes.refusals import classify
from tests.world import World, call, finish, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}") for n in range(60)]


@pytest.fixture(autouse=True)
def as_in_earnest() -> Generator[None]:
    """Calls are repeated as they are outside of tests, but at once."""
    with stamina.set_testing(True, attempts=retrying.ATTEMPTS, cap=True):
        yield


@pytest.mark.parametrize("kind", ["get", "upload_start", "upload_chunk", "download"])
@pytest.mark.parametrize("fault", [{"fault": "http_error", "code": 503}, {"fault": "drop_before"}], ids=str)
async def test_a_hiccup_is_not_noticed(world: World, kind: str, fault: dict[str, Any]) -> None:
    await world.arm(**fault, call=kind, times=retrying.ATTEMPTS - 1)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        status = await call(client, "check_status", job_id=job_id)
        assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 60})
        assert "Last known state" not in status["notice"]
    assert len(await world.bill()) == 1


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        ({"code": 503}, retrying.ATTEMPTS),
        ({"code": 404}, 1),
        ({"code": 429}, 1),
        ({"code": 429, "retry_delay_s": 2}, retrying.ATTEMPTS),
        ({"code": 503, "retry_delay_s": 60}, 1),
    ],
    ids=str,
)
async def test_it_is_bounded_and_what_lasts_is_left_to_the_ledger(
    world: World, fault: dict[str, Any], tries: int
) -> None:
    await world.arm("http_error", call="get", times=None, **fault)
    async with gemini.connect("offline", lambda: create_app(world.home / "emulator")) as connected:
        with pytest.raises(ProviderError):
            await connected.get("batches/" + "a" * 36)
    assert len(await world.calls("/batches/")) == tries


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "http_error"])
async def test_a_create_is_never_repeated_blindly(world: World, fault: str) -> None:
    await world.arm(fault, call="create", **({"code": 503} if fault == "http_error" else {}))
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert len(await world.calls("batchGenerateContent")) == 1
        await world.advance(61)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}
    assert len(await world.bill()) == 1


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), (format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True), 3_600, 7_200), ("soon", 0, 0)],
    ids=["seconds", "date", "neither"],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, least: float, most: float) -> None:
    refusal = classify(503, {"message": "busy"}, call="other", retry_after=header)
    assert least <= (refusal.wait_s or 0) <= most
