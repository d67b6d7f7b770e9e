"""Lengths and searches can be drawn per request: seeded by it, bounded by its settings, and told in its usage."""

from statistics import median
from typing import Any

import pytest

from genai_batch.server.emulator.answers import answer
from genai_batch.server.emulator.drawn import Drawn
from genai_batch.server.emulator.models import find_model

from .bench import MODEL, Bench, line

pytestmark = pytest.mark.anyio
DRAWN = Drawn(output_tokens=400, thought_tokens=300, searches=2)


def asked(number: int, **config: Any) -> dict[str, Any]:
    turn = {"role": "user", "parts": [{"text": f"Question {number}"}]}
    prompt: dict[str, Any] = {"contents": [turn], "tools": [{"googleSearch": {}}]}
    return prompt | ({"generationConfig": config} if config else {})


def usages(**config: Any) -> list[dict[str, int]]:
    return [answer(find_model(MODEL), asked(n, **config), drawn=DRAWN)["usageMetadata"] for n in range(300)]


def test_lengths_vary_around_their_median_and_repeat() -> None:
    found = usages()
    assert found == usages()
    outputs = [usage["candidatesTokenCount"] for usage in found]
    assert 340 < median(outputs) < 460
    assert max(outputs) > 3 * min(outputs)
    assert 240 < median(usage["thoughtsTokenCount"] for usage in found) < 360


def test_bounds_and_thinking_settings_hold() -> None:
    assert all(u["candidatesTokenCount"] + u.get("thoughtsTokenCount", 0) <= 200 for u in usages(maxOutputTokens=200))
    assert all("thoughtsTokenCount" not in u for u in usages(thinkingConfig={"thinkingBudget": 0}))
    low = median(u["thoughtsTokenCount"] for u in usages(thinkingConfig={"thinkingLevel": "LOW"}))
    assert 70 < low < 110


def test_searches_are_told_in_the_grounding_metadata() -> None:
    answers = [answer(find_model(MODEL), asked(n), drawn=DRAWN) for n in range(300)]
    queries = [len(a["candidates"][0].get("groundingMetadata", {}).get("webSearchQueries", [])) for a in answers]
    assert 1.6 < sum(queries) / 300 < 2.4
    assert queries.count(0) > 90
    plain = {name: value for name, value in asked(1).items() if name != "tools"}
    assert "groundingMetadata" not in answer(find_model(MODEL), plain, drawn=DRAWN)["candidates"][0]


async def test_the_setting_reaches_batches_and_live_calls(bench: Bench) -> None:
    await bench.admin("settings", drawn={"output_tokens": 2_000, "output_sigma": 0.0})
    row = (await bench.results([line("a")]))[0]
    assert row["response"]["usageMetadata"]["candidatesTokenCount"] == 2_000
    response = await bench.sdk().aio.models.generate_content(model=MODEL, contents="x")
    assert response.usage_metadata
    assert response.usage_metadata.candidates_token_count == 2_000
    assert (await bench.http.post("/emulator/settings", json={"drawn": {"outputs": 1}})).status_code == 400
