"""The upper end of an estimate is an upper bound, the gate goes by it, and the answer says what would lower it."""

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from genai_batch.resources import bounds, estimates
from genai_batch.resources.estimates import Bill, Estimate
from genai_batch.resources.lowering import best_setting
from genai_batch.resources.models import find
from genai_batch.resources.prices import Lane
from genai_batch.resources.requests import Preflight
from genai_batch.server.emulator.tokens import text_tokens
from tests.benchmarks.bounded_jobs import outcomes, table
from tests.world import MODEL, World, call, finish, refusal, request, row, start

DAY = date(2026, 11, 20)
MTOK = 1e-6
YOUTUBE = [f"https://{host}AAAA" for host in ("www.youtube.com/watch?v=", "youtu.be/", "m.youtube.com/shorts/")]
SEARCHING: dict[str, Any] = request("Hi", max_output_tokens=100) | {"tools": [{"googleSearch": {}}]}


def scan(folder: Path, rows: Iterable[dict[str, Any]], model: str = MODEL) -> Preflight:
    source = World(folder, folder).write("a.jsonl", rows)
    found = Preflight(folder / source, find(model, DAY)).run()
    found.refuse_problems()
    return found


def estimate(folder: Path, rows: Iterable[dict[str, Any]], model: str = MODEL, lane: Lane = "batch") -> Estimate:
    return estimates.estimate(scan(folder, rows, model), lane, DAY, "emulator")


def watching(uri: str, mime: str | None = None, **metadata: Any) -> dict[str, Any]:
    """A request about a file that is only named."""
    part: dict[str, Any] = {"file_data": {"file_uri": uri} | ({"mime_type": mime} if mime else {})}
    if metadata:
        part["video_metadata"] = metadata
    settings = {"generation_config": {"max_output_tokens": 100}}
    return {"contents": [{"role": "user", "parts": [part, {"text": "Sum it up."}]}]} | settings


def input_at_most(folder: Path, asked: dict[str, Any], model: str = MODEL) -> float:
    return estimate(folder, [{"key": "k", "request": asked}], model).input_tokens.high


def test_no_simulated_job_costs_more_than_its_bound() -> None:
    found = [*outcomes(60, seed=7)]
    assert all(outcome.held for outcome in found), table(found)
    assert any(outcome.filled > 0.5 for outcome in found), "the bound is not merely huge"


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, 65_536),
        ({"max_output_tokens": 300}, 300),
        ({"maxOutputTokens": "300", "candidateCount": 4}, 1_200),
        ({"candidate_count": 3}, 3 * 65_536),
        ({"max_output_tokens": 300, "thinking_config": {"thinking_budget": 8_000}}, 300),
        ({"thinking_config": {"thinking_level": "MINIMAL"}}, 65_536),
        ({"response_mime_type": "text/x.enum", "response_schema": {"type": "STRING", "enum": ["a", "b"]}}, 65_536),
    ],
)
def test_output_is_bounded_by_what_the_model_may_write(tmp_path: Path, settings: Any, tokens: int) -> None:
    found = estimate(tmp_path, [row(f"k{n}", **settings) for n in range(10)], "gemini-3.5-flash")
    assert found.output_tokens.high == 10 * tokens
    assert found.cost_usd.high >= 10 * tokens * 4.5 * MTOK
    assert found.other_lane.high >= 10 * tokens * 9 * MTOK


def test_the_likely_range_stands_beside_the_bound_and_learning_lowers_only_the_range(tmp_path: Path) -> None:
    from genai_batch.resources.calibration import Past

    rows = scan(tmp_path, [row(f"k{n}") for n in range(10)])
    plain = estimates.estimate(rows, "batch", DAY, "emulator")
    learnt = estimates.estimate(rows, "batch", DAY, "emulator", [Past(1, 0.1)] * 9)
    cost = plain.cost_usd
    assert cost.likely_high is not None
    assert cost.low < cost.likely < cost.likely_high < cost.high / 5
    assert learnt.cost_usd.likely < cost.likely / 2
    assert learnt.cost_usd.high == cost.high == plain.most == learnt.most
    live = estimates.estimate(rows, "live", DAY, "emulator")
    assert live.most == pytest.approx(live.cost_usd.likely_high, abs=1e-6)


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize(
    "text",
    [
        "Describe the harbour in the tone of a travel guide. ",
        "internationalization counterrevolutionaries ",
        "xqzjvkpwtbn" * 9,
        "ACGT" * 20,
        "-" * 80 + "\n",
        '{"a":[{"b":{}},{"c":[]}]},',
        "3.14159 ",
        "こんにちは世界。",
        "विस्तरेणात्मनो योगं ",
        "Опишите гавань. ",
        "ما هي عاصمة فرنسا؟ ",
    ],
)
def test_text_of_any_kind_is_bounded_as_a_plain_counter_counts_it(tmp_path: Path, text: str, rows: int) -> None:
    lines = [row(f"k{n}", text * 40, max_output_tokens=1) for n in range(rows)]
    assert estimate(tmp_path, lines).input_tokens.high >= rows * text_tokens(text * 40)


def test_one_request_is_bounded_as_a_job_of_one_row(tmp_path: Path) -> None:
    asked = watching(YOUTUBE[0], fps=2)
    one = bounds.of_request(asked, find(MODEL, DAY), "live", DAY).usd
    found = estimate(tmp_path, [{"key": "k", "request": asked}], lane="live")
    assert found.cost_usd.high == pytest.approx(one, abs=2e-6)


@pytest.mark.parametrize("uri", YOUTUBE)
@pytest.mark.parametrize("mime", [None, "video/mp4"])
def test_a_film_of_unknown_length_may_last_an_hour(tmp_path: Path, uri: str, mime: str | None) -> None:
    an_hour = 3_600 * (66 + 25)
    assert an_hour <= input_at_most(tmp_path, watching(uri, mime)) < 1.01 * an_hour
    assert input_at_most(tmp_path, watching(uri, mime, fps=2)) >= 3_600 * (2 * 66 + 25) * 0.99
    cut = input_at_most(tmp_path, watching(uri, mime, start_offset="60s", end_offset="660s"))
    assert 600 * 91 <= cut < 1.3 * 600 * 91


@pytest.mark.parametrize(
    ("mime", "tokens"),
    [("audio/mpeg", 9.5 * 3_600 * 25), ("application/pdf", 1_000 * 532), ("text/plain", 500_000), (None, 855_000)],
)
def test_other_media_of_unknown_size_have_the_documented_limits(tmp_path: Path, mime: str | None, tokens: int) -> None:
    assert input_at_most(tmp_path, watching("https://files.example/a", mime)) >= tokens


async def test_300_talks_do_not_pass_the_gate_of_5_dollars(world: World) -> None:
    rows = [{"key": f"k{n}", "request": watching(f"{YOUTUBE[0]}{n}")} for n in range(300)]
    async with world.client(max_cost_usd=5) as client:
        source = world.write("talks.jsonl", rows)
        found = await call(client, "estimate_cost", source=source, model=MODEL)
        assert found["cost_usd"]["high"] >= 300 * 3_600 * 91 * 0.375 * MTOK
        assert 'end_offset: "600s"} would make it at most $' in found["to_lower"]
        said = await refusal(client, "create_batch", source=source, model=MODEL)
        assert ("confirm=true" in said, "at most" in said, await world.calls()) == (True, True, [])


def test_searches_are_bounded_by_the_most_of_a_row(tmp_path: Path) -> None:
    new = estimate(tmp_path, [{"key": "k", "request": SEARCHING}])
    old = estimate(tmp_path, [{"key": "k", "request": SEARCHING}], "gemini-2.5-flash")
    assert 20 * 0.014 <= new.cost_usd.high < 20 * 0.014 + 0.001
    assert 0.035 <= old.cost_usd.high < 0.036


def test_caches_and_pages_are_bounded_by_what_a_model_reads(tmp_path: Path) -> None:
    cached: dict[str, Any] = request("Hi", max_output_tokens=1) | {"cached_content": "cachedContents/a"}
    paged: dict[str, Any] = request("Hi", max_output_tokens=1) | {"tools": [{"url_context": {}}]}
    for asked, rate in ((cached, 0.075), (paged, 0.375)):
        assert estimate(tmp_path, [{"key": "k", "request": asked}]).cost_usd.high >= 1_048_576 * rate * MTOK


def test_a_row_that_may_be_long_is_bounded_at_the_higher_rate(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_output_tokens": 1, "thinking_config": {"thinking_budget": 0}}
    near = estimate(tmp_path, [row("k", "word " * 190_000, **settings)], "gemini-3.1-pro-preview")
    assert near.cost_usd.likely < 190_001 * 1.1 * MTOK
    assert near.cost_usd.high >= 200_001 * 2 * MTOK


def test_pictures_are_bounded_by_the_dearest_size_and_speech_by_the_models_limit(tmp_path: Path) -> None:
    rows = [row("k", response_modalities=["IMAGE"], max_output_tokens=100)]
    assert estimate(tmp_path, rows, "gemini-3.1-flash-image").output_tokens.high == 2_520 + 100
    speech = estimate(tmp_path, [row("k", response_modalities=["AUDIO"])], "gemini-3.8-flash-tts")
    assert speech.output_tokens.high == 16_384


def test_a_batch_that_runs_into_a_dearer_day_is_bounded_by_that_day(tmp_path: Path) -> None:
    rows = [row("k", max_output_tokens=1_000)]
    found = scan(tmp_path, rows, "gemini-4-argon")
    before, after = (Bill(found, "batch", day).bound().usd for day in (date(2026, 11, 30), date(2026, 12, 1)))
    assert before == after
    assert Bill(found, "batch", date(2026, 11, 20)).bound().usd < 0.6 * before


def test_rows_of_several_tiers_are_priced_each_by_its_own(tmp_path: Path) -> None:
    def at(*tiers: str | None) -> Estimate:
        rows = [row(f"k{n}", "Tell me more. " * 99, max_output_tokens=1_000) for n in range(len(tiers))]
        for line, tier in zip(rows, tiers, strict=True):
            line["request"] |= {"serviceTier": tier} if tier else {}
        return estimate(tmp_path, rows, lane="live")

    standard, flex, priority = at(None, None), at("flex", "FLEX"), at("priority", "SERVICE_TIER_PRIORITY")
    assert flex.cost_usd.likely == pytest.approx(standard.cost_usd.likely / 2)
    assert flex.cost_usd.high == standard.cost_usd.high, "it may be served, and billed, at standard"
    assert priority.cost_usd.high == pytest.approx(2 * standard.cost_usd.high, abs=2e-6)
    assert standard.cost_usd.likely < priority.cost_usd.likely < 2 * standard.cost_usd.likely
    mixed = (standard.cost_usd.likely + flex.cost_usd.likely) / 2
    assert at("standard", "flex").cost_usd.likely == pytest.approx(mixed, rel=1e-4)
    assert flex.other_lane.cost_usd == standard.other_lane.cost_usd, "a batch has no tiers"


@pytest.mark.parametrize(
    ("rows", "limit", "setting"),
    [
        ([row(f"k{n}") for n in range(100)], None, "max_output_tokens: 4000 would make it at most $"),
        ([row(f"k{n}") for n in range(100)], 5.0, "max_output_tokens: 16000 would make it at most $"),
        ([row(f"k{n}") for n in range(100)], 0.1, "max_output_tokens: 2000 would make it at most $"),
        ([{"key": "k", "request": SEARCHING}], None, "leaving google_search out would make it at most $"),
        ([row("k", max_output_tokens=1_500)], None, None),
    ],
)
def test_the_setting_that_lowers_the_bound_most_is_named(
    tmp_path: Path, rows: list[dict[str, Any]], limit: float | None, setting: str | None
) -> None:
    bill = Bill(scan(tmp_path, rows), "batch", DAY)
    said = best_setting(bill, limit)
    assert said == setting if setting is None else (said or "").startswith(setting)


async def test_what_the_answer_promises_of_a_setting_is_what_it_does(world: World) -> None:
    source = world.write("a.jsonl", [row(f"k{n}") for n in range(100)])
    async with world.client(max_cost_usd=5) as client:
        asked = {"source": source, "model": MODEL}
        before = await call(client, "estimate_cost", **asked)
        said = await refusal(client, "create_batch", **asked)
        assert before["to_lower"] in said
        limit, most = int(before["to_lower"].split()[1]), float(before["to_lower"].split("$")[1])
        after = await call(client, "estimate_cost", **asked, max_output_tokens=limit)
        assert after["cost_usd"]["high"] == pytest.approx(most, rel=0.05)
        assert after["cost_usd"]["high"] < 5 < before["cost_usd"]["high"]
        job_id = await start(client, source, max_output_tokens=limit)
        status = await finish(client, job_id)
        assert status["cost_usd"]["actual"] <= after["cost_usd"]["high"]
        assert (await call(client, "create_batch", **asked, max_output_tokens=limit))["job_id"] == job_id
    sent = (world.home / "jobs" / job_id / "requests.jsonl").read_text().splitlines()
    assert all(json.loads(line)["request"]["generation_config"] == {"max_output_tokens": limit} for line in sent)


async def test_what_a_job_of_a_batch_may_cost_is_set_aside_whole(world: World) -> None:
    source = world.write("a.jsonl", [row("k0"), row("k1")])
    bound = 2 * 65_536 * 1.875 * MTOK
    async with world.client(max_cost_usd_per_day=0.9 * bound) as client:
        assert "PER_DAY" in await refusal(client, "create_batch", source=source, model=MODEL)
        await call(client, "create_batch", source=source, model=MODEL, lane="live")


pytestmark = pytest.mark.anyio
