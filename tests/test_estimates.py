"""An estimate counts what costs money: thinking, schemas, media, caches and tools, in both lanes, with a range."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from genai_batch.resources import estimates
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.models import find
from genai_batch.resources.requests import Preflight
from genai_batch.resources.shapes import shape_of
from genai_batch.resources.tally import MOST_SHAPES, Tier
from genai_batch.resources.tokens.counting import by_kind
from tests.world import World, request, row

DAY = date(2026, 11, 20)
SCHEMA = {"type": "OBJECT", "properties": {"mood": {"type": "STRING"}, "score": {"type": "NUMBER"}}}
SEARCHING: dict[str, Any] = request("Hi") | {"tools": [{"googleSearch": {}}]}
ARABIC = "ما هي عاصمة فرنسا؟ أخبرني المزيد عن تاريخها من فضلك."


def estimate(folder: Path, rows: Iterable[dict[str, Any]], model: str = "gemini-3.8-flash") -> Estimate:
    source = World(folder, folder).write("a.jsonl", rows)
    found = Preflight(folder / source, find(model, DAY)).run()
    found.refuse_problems()
    return estimates.estimate(found, "batch", DAY, "emulator")


def of(folder: Path, model: str = "gemini-3.8-flash", **settings: Any) -> Estimate:
    return estimate(folder, [row(f"k{n}", **settings) for n in range(100)], model)


def said(found: Estimate) -> str:
    return " ".join(warning.problem for warning in found.warnings)


def test_thinking_is_part_of_the_output_unless_it_is_turned_off(tmp_path: Path) -> None:
    free, off = of(tmp_path), of(tmp_path, thinking_config={"thinking_budget": 0})
    assert free.thinking_tokens is not None
    assert free.output_tokens.likely == off.output_tokens.likely + free.thinking_tokens.likely
    assert off.thinking_tokens is None


def test_a_higher_thinking_level_costs_more(tmp_path: Path) -> None:
    levels = ("minimal", "low", "medium", "high")
    found = [
        of(tmp_path, "gemini-3.5-flash", thinking_config={"thinking_level": level}).cost_usd.likely for level in levels
    ]
    assert found == sorted(found)
    assert len(set(found)) == 4


def test_a_thinking_budget_bounds_thinking(tmp_path: Path) -> None:
    found = of(tmp_path, "gemini-2.5-flash", thinkingConfig={"thinkingBudget": 128})
    assert found.thinking_tokens is not None
    assert found.thinking_tokens.high == 100 * 128
    assert of(tmp_path, "gemini-2.5-flash-lite").thinking_tokens is None


def test_max_output_tokens_bounds_answer_and_thinking_together(tmp_path: Path) -> None:
    found = of(tmp_path, max_output_tokens=300)
    assert found.output_tokens.high == 100 * 300
    assert found.output_tokens.low < found.output_tokens.likely <= 100 * 300


def test_a_schema_makes_answers_smaller(tmp_path: Path) -> None:
    free = of(tmp_path)
    shaped = of(tmp_path, response_mime_type="application/json", response_schema=SCHEMA)
    chosen = of(tmp_path, response_mime_type="text/x.enum", response_schema={"type": "STRING", "enum": ["a", "b"]})
    assert free.output_tokens.likely > shaped.output_tokens.likely > chosen.output_tokens.likely


def test_candidates_multiply_the_answer(tmp_path: Path) -> None:
    one, three = of(tmp_path), of(tmp_path, candidate_count=3)
    assert three.output_tokens.likely == one.output_tokens.likely + 2 * 100 * 500


def test_a_larger_picture_costs_more(tmp_path: Path) -> None:
    small, large = (
        of(tmp_path, "gemini-3.1-flash-image", response_modalities=["IMAGE"], image_config={"image_size": size})
        for size in ("1K", "4K")
    )
    assert small.output_tokens.likely == 100 * 1_120
    assert large.cost_usd.likely == pytest.approx(100 * 2_520 * 30e-6, rel=0.01)


def test_speech_is_as_long_as_what_is_said(tmp_path: Path) -> None:
    rows = [[row("k", "Hello there. " * n, response_modalities=["AUDIO"])] for n in (10, 100)]
    short, long = (estimate(tmp_path, each, "gemini-3.8-flash-tts").output_tokens.likely for each in rows)
    assert long == pytest.approx(10 * short, rel=0.1)


def test_an_embedding_writes_nothing(tmp_path: Path) -> None:
    made = [{"key": "k", "request": {"content": {"parts": [{"text": "Hello there. " * 100}]}}}]
    found = estimate(tmp_path, made, "gemini-embedding-2")
    assert found.output_tokens.high == 0
    assert found.cost_usd.likely > 0


def test_searches_are_charged_by_the_query_from_3_0_and_the_request_before(tmp_path: Path) -> None:
    rows = [{"key": f"k{n}", "request": SEARCHING} for n in range(1_000)]
    new, old = (estimate(tmp_path, rows, model) for model in ("gemini-3.8-flash", "gemini-2.5-flash"))
    assert new.tools is not None
    assert old.tools is not None
    assert (new.tools[0].tool, new.tools[0].cost_usd.high) == ("google_search", 6 * 14)
    assert old.tools[0].cost_usd.high == 35
    assert "2026-11-20" in new.tools[0].price
    assert new.cost_usd.high > 6 * 14


def test_a_tool_without_a_known_price_is_an_error(tmp_path: Path) -> None:
    tier = Tier()
    tier.take(request("Hi") | {"tools": [{"enterprise_web_search": {}}]}, find("gemini-3.8-flash", DAY))
    source = World(tmp_path, tmp_path).write("a.jsonl", [row("k")])
    found = Preflight(tmp_path / source, find("gemini-3.8-flash", DAY)).run()
    found.short = tier
    with pytest.raises(UnknownModel, match="enterprise_web_search"):
        estimates.estimate(found, "batch", DAY, "emulator")


def test_both_lanes_stand_side_by_side_and_the_batch_lane_halves_tokens_but_not_fees(tmp_path: Path) -> None:
    rows = [{"key": f"k{n}", "request": SEARCHING} for n in range(100)]
    found = estimate(tmp_path, rows)
    assert found.tools is not None
    fee = found.tools[0].cost_usd.likely
    assert found.other_lane.lane == "live"
    assert found.other_lane.cost_usd - fee == pytest.approx(2 * (found.cost_usd.likely - fee), rel=1e-4)
    assert found.other_lane.low < found.other_lane.cost_usd < found.other_lane.high


def test_a_row_above_200_000_tokens_is_priced_as_long_and_by_itself(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_output_tokens": 1, "thinking_config": {"thinking_budget": 0}}
    below, above = (
        estimate(tmp_path, [row("k", "word " * count, **settings)], "gemini-3.1-pro-preview").cost_usd.likely
        for count in (190_000, 210_000)
    )
    assert above > 1.9 * below


def test_sound_has_its_own_price(tmp_path: Path) -> None:
    source = World(tmp_path, tmp_path).write("a.jsonl", [row("k", max_output_tokens=1)])
    found = Preflight(tmp_path / source, find("gemini-2.5-flash", DAY)).run()
    found.short.add(1, 1_000_000, next(iter(found.short.shapes)))
    found.short.kinds = {"audio": 1}
    assert estimates.estimate(found, "batch", DAY, "emulator").cost_usd.likely == pytest.approx(0.5, rel=0.01)


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    file = {"file_data": {"file_uri": "https://files.example/files/a", "mime_type": "video/mp4"}}
    asked: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": ARABIC}, file]}],
        "tools": [{"url_context": {}}],
    }
    cached = request("Hi") | {"cached_content": "cachedContents/a"}
    found = estimate(tmp_path, [{"key": "k", "request": asked}, {"key": "l", "request": cached}])
    for word in ("never measured", "guessed", "cached_content", "url_context"):
        assert word in said(found)
    assert found.input_tokens.high > 3 * found.input_tokens.likely
    plain = [row(f"k{n}", f"Say {n}.", max_output_tokens=9_999) for n in range(100)]
    assert said(estimate(tmp_path, plain)) == ""


def test_a_script_never_measured_has_a_wider_range_and_many_rows_a_narrower_one(tmp_path: Path) -> None:
    def width(text: str, count: int) -> float:
        found = estimate(tmp_path, [row(f"k{n}", text) for n in range(count)]).input_tokens
        return (found.high - found.low) / found.likely

    english = "Tell me more about the history of the capital of France, if you please. " * 20
    assert width(ARABIC * 20, 50) > 3 * width(english, 50)
    assert width(english, 1) > 1.3 * width(english, 100) > 0.15


def test_a_file_of_many_shapes_keeps_its_memory_flat() -> None:
    tier, model = Tier(), find("gemini-3.8-flash", DAY)
    for bound in range(1, 4 * MOST_SHAPES):
        tier.take(request("Hi", max_output_tokens=bound), model)
    assert len(tier.shapes) < 1.1 * MOST_SHAPES
    assert sum(tier.shapes.values()) == tier.rows == 4 * MOST_SHAPES - 1


def test_a_sample_stands_for_the_whole() -> None:
    model = find("gemini-3.8-flash", DAY)
    sample, whole = Tier(), Tier()
    for number in range(100):
        whole.take(request(f"Hello {number:03}"), model)
        if number % 10 == 0:
            sample.take(request(f"Hello {number:03}"), model, weight=10)
    assert sample.input == pytest.approx(whole.input)
    assert sample.by_kind == pytest.approx(whole.by_kind)
    assert sample.evened == pytest.approx(whole.evened)
    assert (sample.rows, sample.shapes) == (whole.rows, whole.shapes)


def test_a_reader_may_know_rows_and_tokens_apart_from_their_kinds() -> None:
    model = find("gemini-3.8-flash", DAY)
    taken, known = Tier(), Tier()
    for _ in range(100):
        taken.take(request("Hello there"), model)
    known.add(100, taken.input, shape_of(request("Hello there"), model))
    known.sample(by_kind(request("Hello there"), model))
    assert known.by_kind == pytest.approx(taken.by_kind)
    assert known.evened == pytest.approx(taken.evened) == 0.1
    assert Tier(rows=1, input=5).by_kind == {"latin": 5}
