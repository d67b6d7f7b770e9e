"""Tokens are counted offline: never negative, never fewer for more, whatever the JSON, and each kind apart."""

import json
from random import Random
from typing import Any

import pytest

from genai_batch.resources.models import Model
from genai_batch.resources.tokens.counting import KINDS, by_kind, of_request
from genai_batch.resources.tokens.text import of_text, share
from tests.world import request

FLASH, OLD = Model(name="gemini-3.8-flash"), Model(name="gemini-2.0-flash")
ALPHABET = (
    'abcXYZ 012 .,:{}"\n\t  éñüß русский हिन्दी क्ष 你好世界 カナひら 한국어 '
    "١٢ العربية עברית ไทย ελληνικά 🙂🏽 ﬁ \U00020000\u200d"
)
ENGLISH = "The quick brown fox jumps over the lazy dog, and then it sleeps for a while. "
FUNCTION = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}


def texts(seed: int, count: int = 200) -> list[str]:
    """Random texts in many scripts."""
    dice = Random(seed)
    return [
        "".join(dice.choice(ALPHABET) * dice.choice((1, 1, 1, 9)) for _ in range(dice.randrange(60)))
        for _ in range(count)
    ]


NAMES = (
    "contents", "parts", "text", "role", "inline_data", "inlineData", "data", "mime_type", "tools",
    "functionDeclarations", "system_instruction", "function_call", "functionResponse", "response", "generation_config",
    "response_schema", "media_resolution", "args",
)  # fmt: skip
LEAVES: tuple[Any, ...] = (None, True, 0, -1.5, "", "x", "image/png", "application/pdf", "////", "é\ud800", [], {})


def values(dice: Random, depth: int = 0) -> Any:
    """A random JSON value that has the names of a request in odd places."""
    if depth > 4 or dice.random() < 0.3:
        return dice.choice(LEAVES)
    if dice.random() < 0.4:
        return [values(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(NAMES): values(dice, depth + 1) for _ in range(dice.randrange(6))}


def test_no_text_is_no_token_and_no_count_is_negative() -> None:
    assert of_text("") == 0
    assert all(of_text(text) >= 0 for text in texts(1))


def test_more_text_is_never_fewer_tokens() -> None:
    for text, more in zip(texts(2), texts(3), strict=True):
        assert of_text(text + more) >= of_text(text)


def test_texts_on_lines_of_their_own_add_up() -> None:
    for text, more in zip(texts(4), texts(5), strict=True):
        apart, together = of_text(text) + of_text(more), of_text(f"{text}\n{more}")
        assert apart - 3 <= together <= apart + 3


def test_the_kinds_of_a_text_add_up_to_all_of_it() -> None:
    for text in texts(6):
        assert sum(share(text)) == pytest.approx(of_text(text))


def test_of_a_long_text_slices_are_counted() -> None:
    text = ENGLISH * 2_000 + "12 34 56 " * 3_000
    assert sum(share(text)) == pytest.approx(of_text(text), rel=0.1)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Reply with exactly: Paris", 5),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("Say this is a test", 5),
        ("2024-01-01", 10),
        ("한국의 수도는 어디인가요?", 11),
    ],
)
def test_short_texts_come_close_to_what_gemini_counted(text: str, count: int) -> None:
    assert of_text(text) == pytest.approx(count, abs=1.5)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ENGLISH, "latin"),
        ("Der Bär läuft über die große Brücke, schöne Grüße.", "european"),
        ("31415926535", "digits"),
        ("机器学习算法处理的是数字", "cjk"),
        ("मशीन लर्निंग", "indic"),
        ("ما هي عاصمة فرنسا", "unmeasured"),
        ("מה בירת צרפת", "unmeasured"),
        ("เมืองหลวงของฝรั่งเศสคืออะไร", "unmeasured"),
        ("Ποια είναι η πρωτεύουσα", "unmeasured"),
        ("Какой город столица", "unmeasured"),
    ],
)
def test_a_text_is_known_by_its_script(text: str, kind: str) -> None:
    found = share(text)._asdict()
    assert max(found, key=lambda name: found[name]) == kind
    assert 0.2 <= of_text(text) / len(text) <= 1.1


def test_each_turn_costs_a_token_on_the_developer_api_from_2_5_up() -> None:
    asked = request("Hello") | {"system_instruction": {"parts": [{"text": "Hello"}]}}
    text = 2 * of_text("Hello")
    assert of_request(asked, FLASH) == pytest.approx(text + 2)
    assert of_request(asked, FLASH, "vertex") == of_request(asked, OLD) == pytest.approx(text)


def test_a_request_counts_the_same_in_either_spelling_and_shape() -> None:
    parts = {"text": "Hello"}
    spelled = {"systemInstruction": {"parts": parts}, "contents": {"parts": [parts]}}
    plain = {"system_instruction": {"parts": [parts]}, "contents": [{"parts": [parts]}]}
    assert by_kind(spelled, FLASH) == by_kind(plain, FLASH)


def test_a_response_schema_is_free_on_the_developer_api_from_2_5_up() -> None:
    plain, shaped = request("Hello"), request("Hello", response_schema=FUNCTION["parameters"])
    assert of_request(shaped, FLASH) == of_request(plain, FLASH)
    assert of_request(shaped, OLD) > of_request(plain, OLD)
    assert of_request(shaped, FLASH, "vertex") > of_request(plain, FLASH, "vertex")


def test_declared_functions_cost_more_where_their_json_counts() -> None:
    tools = {"tools": [{"functionDeclarations": [FUNCTION]}]}
    new, old = (of_request(request("Hello") | tools, model) for model in (FLASH, OLD))
    assert 30 <= new <= 70
    assert 8 <= old <= 25
    assert by_kind(request("Hello") | {"tools": [{"google_search": {}}]}, FLASH).get("declared", 0) == 0


def test_calls_and_responses_of_functions_count() -> None:
    turns = [
        {"functionCall": {"name": "f", "args": {"city": "Paris"}}},
        {"function_response": {"name": "f", "response": {"c": 3}}},
    ]
    found = by_kind({"contents": [{"parts": turns}]}, FLASH)
    assert found["declared"] > 10


def test_no_json_value_breaks_the_count_or_makes_it_negative() -> None:
    dice = Random(7)
    for _ in range(3_000):
        value = values(dice)
        found = by_kind(value if isinstance(value, dict) else {"contents": value}, dice.choice([FLASH, OLD]))  # pyright: ignore[reportUnknownArgumentType] - any JSON
        assert found.keys() <= set(KINDS), json.dumps(value)
        assert all(count >= 0 for count in found.values()), json.dumps(value)
