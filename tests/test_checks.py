"""Judging single answers: Gemini's schemas in other words, what fits them, and the ids that answers carry."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_batch.resources import outcomes
from genai_batch.resources.checks.answered import MESSAGE
from genai_batch.resources.checks.asked import Asked, asked
from genai_batch.resources.checks.binding import bind, carried, instruction, ref, stripped
from genai_batch.resources.checks.schema import LARGEST, Fitting
from genai_batch.resources.lint.fields import snake
from genai_batch.server.emulator.schema_answers import off_schema_answer, schema_answer
from tests.lint_cases import ask, camel, model

Json = dict[str, Any]
MIME = "application/json"


def why_not(schema: Any, text: str, mime: str = MIME, *, is_dialect: bool = True) -> str | None:
    """Judge a text by a schema."""
    return Fitting(Asked(mime, msgspec.json.encode(schema), is_dialect)).why_not(text)


RULES: dict[str, tuple[Json, str, str, str]] = {
    "a type": ({"type": "STRING"}, '"a"', "7", 'The top level: the value is not of type "string". It is 7.'),
    "lower case": ({"type": "string"}, '"a"', "7", "of type"),
    "null where it may be": ({"type": "STRING", "nullable": True}, "null", "7", "string"),
    "null where it may not be": ({"type": "STRING"}, '"a"', "null", "string"),
    "null among choices": ({"type": "STRING", "enum": ["a"], "nullable": True}, "null", '"b"', "not one of"),
    "null among forms": ({"anyOf": [{"type": "STRING"}], "nullable": True}, "null", "7", "anyOf"),
    "choices": ({"type": "STRING", "format": "enum", "enum": ["a", "b"]}, '"b"', '"c"', "not one of"),
    "numbers as choices": ({"type": "INTEGER", "format": "enum", "enum": ["101", "201"]}, "201", "102", "101 or 201"),
    "bounds": ({"type": "INTEGER", "minimum": 1, "maximum": "5"}, "5", "6", "maximum of 5"),
    "a whole number": ({"type": "INTEGER"}, "3.0", "3.5", "integer"),
    "counts as strings": ({"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "2"}, "[1, 2]", "[1]", "2 items"),
    "snake_case": ({"type": "ARRAY", "items": {"type": "NUMBER"}, "max_items": "2"}, "[1, 2]", "[1, 2, 3]", "2 items"),
    "lengths": ({"type": "STRING", "maxLength": "3"}, '"abc"', '"abcd"', "longer than 3"),
    "patterns": ({"type": "STRING", "pattern": "^a+$"}, '"aa"', '"ab"', "does not match"),
    "members": ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}, '{"a": ""}', "{}",
                '"a" is a required property. It is an object with no members'),
    "where": ({"type": "OBJECT", "properties": {"a/b": {"type": "ARRAY", "items": {"type": "INTEGER"}}}},
              '{"a/b": [1]}', '{"a/b": [1, "\\u001b[31m"]}',
              "/a~1b/1: the value is not of type \"integer\". It is '\\x1b[31m'."),
    "forms": ({"any_of": [{"type": "STRING"}, {"type": "INTEGER"}]}, "7", "[]", "It is an array of 0."),
    "no other members": ({"type": "OBJECT", "properties": {}, "additionalProperties": False}, "{}", '{"x": 1}', "'x'"),
    "other members of a kind": ({"type": "OBJECT", "additionalProperties": {"type": "STRING"}}, '{"x": ""}', '{"x": 1}',
                                "/x: "),
    "JSON at all": ({"type": "OBJECT"}, " {}\n", "```json\n{}\n```", "is not JSON: JSON is malformed"),
    "all of it": ({"type": "OBJECT"}, "{}", '{"a": ', "is not JSON: Input data was truncated"),
    "not too deep": ({"type": "ARRAY"}, "[" * 50 + "]" * 50, "[" * 100_000, "nested too deeply"),
    "half a surrogate pair": ({"type": "STRING", "maxLength": "1"}, '"\\ud800"', '"\\ud800."', "longer"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_each_rule_lets_pass_what_it_allows_and_says_what_it_does_not(name: str) -> None:
    schema, good, bad, said = RULES[name]
    assert why_not(schema, good) is None
    told = why_not(schema, bad)
    assert told
    assert said in told


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["object", "null"], "minProperties": 1}, "null", "{}"),
        ({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}, "7", '"7"'),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False}, "[1]", "[1, 2]"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "oneOf": [{"type": "string"}]}, '"a"', "1"),
        ({"type": "OBJECT", "required": ["a"]}, '{"a": 1}', "{}"),
        ({"format": "date-time", "type": "string"}, '"tomorrow"', "1"),
    ],
)
def test_json_schema_is_taken_at_its_word(schema: Json, good: str, bad: str) -> None:
    assert why_not(schema, good, is_dialect=False) is None
    assert why_not(schema, bad, is_dialect=False)


def test_a_bare_choice_is_held_against_the_choices() -> None:
    schema = {"type": "STRING", "enum": ["good", "bad"]}
    assert why_not(schema, "good\n", "text/x.enum") is None
    assert "not one of" in str(why_not(schema, "ugly", "text/x.enum"))


@pytest.mark.parametrize(
    ("schema", "is_dialect"),
    [
        ({"$ref": "https://example.com/s"}, False), ({"pattern": "("}, True), ({"minItems": "Infinity"}, True),
        (5, True), ({"properties": 3}, True), ({"$schema": "https://example.com/own"}, False),
        ({"description": "x" * LARGEST}, True),
    ],
)  # fmt: skip
def test_what_is_not_understood_fails_nothing_and_says_why(schema: Any, is_dialect: bool) -> None:
    judge = Fitting(Asked(MIME, msgspec.json.encode(schema), is_dialect))
    assert judge.why_unknown
    assert len(judge.why_unknown) <= 120
    assert judge.why_not("{}") is None


def test_a_pattern_that_runs_away_is_given_up() -> None:
    began = time.perf_counter()
    assert why_not({"type": "STRING", "pattern": r"^(a|aa|a(?=a))+(?<!b)\1$"}, json.dumps("a" * 60 + "c")) is None
    assert time.perf_counter() - began < 5


NAMES = st.sampled_from(["a", "b", "name", "n/m", "~x"])


def number(kind: str, low: int, more: int) -> Json:
    """A schema of numbers within bounds."""
    return {"type": kind, "minimum": low, "maximum": low + more}


def several(items: Json, least: int) -> Json:
    """A schema of a list, with counts as protobuf writes them."""
    return {"type": "ARRAY", "items": items, "minItems": str(least), "maxItems": str(least + 2)}


def members(properties: dict[str, Json], nullable: bool) -> Json:
    """A schema of an object."""
    return {"type": "OBJECT", "properties": properties, "required": sorted(properties), "nullable": nullable}


def choices(kind: str, enum: list[str]) -> Json:
    """A schema of a choice."""
    return {"type": kind, "enum": enum}


def forms(several: list[Json]) -> Json:
    """A schema of one thing or another."""
    return {"anyOf": several}


def nested(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.one_of(
        st.builds(several, inner, st.integers(0, 3)),
        st.builds(members, st.dictionaries(NAMES, inner, min_size=1, max_size=4), st.booleans()),
        st.builds(forms, st.lists(inner, min_size=1, max_size=3)),
    )


LEAVES: list[st.SearchStrategy[Json]] = [
    st.sampled_from([{"type": "BOOLEAN"}, {"type": "STRING", "maxLength": "30"}, {"type": "STRING", "nullable": True}]),
    st.builds(choices, st.just("STRING"), st.lists(st.text("xyz"), min_size=1)),
    st.builds(choices, st.just("INTEGER"), st.lists(st.integers().map(str), min_size=1)),
    st.builds(number, st.sampled_from(["INTEGER", "NUMBER"]), st.integers(-50, 50), st.integers(0, 50)),
]
SCHEMAS = st.recursive(st.one_of(LEAVES), nested, max_leaves=8)


def value_in(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)


PLAIN: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-99, 99) | st.text("axyz")
VALUES: st.SearchStrategy[Any] = st.recursive(PLAIN, value_in)


@given(SCHEMAS, st.binary(min_size=32, max_size=32))
def test_what_the_emulator_answers_fits_and_what_it_breaks_does_not(schema: Json, seed: bytes) -> None:
    assert why_not(schema, schema_answer(schema, seed)) is None
    if schema.get("type") in ("ARRAY", "OBJECT"):
        assert why_not(schema, off_schema_answer(schema, seed))


@given(SCHEMAS, VALUES)
def test_the_spelling_of_a_schema_changes_no_verdict(schema: Json, value: Any) -> None:
    text = json.dumps(value)
    assert why_not(schema, text) == why_not(respelled(schema), text)


def respelled(schema: Json) -> Json:
    """The same in snake_case, with types in lower case."""
    made: Json = {snake(name): value for name, value in schema.items()}
    if "type" in made:
        made["type"] = made["type"].lower()
    if "items" in made:
        made["items"] = respelled(made["items"])
    if "any_of" in made:
        made["any_of"] = list(map(respelled, made["any_of"]))
    if "properties" in made:
        made["properties"] = {name: respelled(inner) for name, inner in made["properties"].items()}
    return made


@given(VALUES | SCHEMAS, st.text() | VALUES.map(json.dumps))
def test_nothing_that_a_schema_or_an_answer_holds_makes_it_fail(schema: Any, text: str) -> None:
    for is_dialect in (True, False):
        told = why_not(schema, text, is_dialect=is_dialect) or ""
        assert len(told.encode()) <= MESSAGE
        assert told.isprintable()


@pytest.mark.parametrize("spell", [str, camel])
def test_what_is_asked_for_is_read_in_either_spelling(spell: Any) -> None:
    settings = {spell("response_mime_type"): MIME, spell("response_schema"): {"type": "OBJECT"}, "seed": 3}
    line = msgspec.json.encode({"key": "a", "request": {"contents": [], spell("generation_config"): settings}})
    assert asked(line) == Asked(MIME, b'{"type":"OBJECT"}', is_dialect=True)
    assert asked(b'{"key": "a", "request": {"generation_config": {"seed": 3}}}') is None
    assert asked(b'{"key": "a", "request": {"generation_config": null}}') is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A poem.\n[ref: OWN]", "A poem."),
        ("A poem. **[Ref: OWN]**\n", "A poem."),
        ("[ref: OWN]", ""),
        ("A poem, not [ref: abcdefg].\n[ref: OWN]", "A poem, not [ref: abcdefg]."),
        ("A poem.\n[ref: abcdefg]", "A poem.\n[ref: abcdefg]"),
        ('{"a": 1, "ref": "OWN"}', '{"a": 1}'),
        ('{\n  "ref": "OWN",\n  "a": 1.50\n}', '{\n  "a": 1.50\n}'),
        ('{"ref":"OWN"}', "{}"),
        ('{"ref":"abcdefg"}', '{"ref":"abcdefg"}'),
    ],
)
def test_only_the_rows_own_id_is_taken_out(text: str, left: str) -> None:
    assert stripped(text.replace("OWN", ref("k")), "k") == left


def test_the_search_for_ids_does_not_run_away() -> None:
    began = time.perf_counter()
    for text in ("*" * 10**6, "[ref" * 10**5, " " * 10**6, "[" + " " * 10**6, "\n" * 10**6 + '"ref"'):
        assert carried(text, structured=False) == []
        assert stripped(text, "k") == text
    assert time.perf_counter() - began < 5


def test_an_id_is_carried_as_it_was_asked_for() -> None:
    assert carried(f"A poem.\n{instruction('k')[-14:]}", structured=False) == [ref("k")]
    assert carried(json.dumps({"ref": ref("k")}), structured=True) == [ref("k")]
    assert carried("no JSON", structured=True) == []


@pytest.mark.parametrize("order", ["propertyOrdering", "property_ordering"])
def test_the_id_of_a_structured_answer_is_its_last_member(order: str) -> None:
    schema: Json = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"], order: ["a"]}
    request: Json = ask() | {"generation_config": {"response_mime_type": MIME, "response_schema": schema}}
    assert bind("k", request, model()) is None
    assert (schema["required"], schema[order]) == (["a", "ref"], ["a", "ref"])
    assert schema["properties"]["ref"] == {"type": "STRING", "enum": [ref("k")]}


def test_a_turn_that_is_not_the_users_words_carries_no_id() -> None:
    for turn in ({"role": "model", "parts": [{"text": "So:"}]}, {"parts": [{"functionResponse": {"name": "f"}}]}):
        request = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}, turn]}
        assert bind("k", request, model())


def ended(*reasons: str, text: str = "hi") -> Json:
    """A row whose candidates ended so."""
    found = [{"content": {"parts": [{"text": text}]}, "finishReason": reason} for reason in reasons]
    return {"key": "a", "response": {"candidates": found}}


@pytest.mark.parametrize(
    ("row", "outcome", "reason"),
    [
        (ended("STOP", "STOP"), "ok", "STOP"),
        (ended("STOP", "MAX_TOKENS"), "truncated", "MAX_TOKENS"),
        (ended("STOP", "STOP", "SAFETY"), "blocked", "SAFETY"),
        (ended("MAX_TOKENS", "STOP"), "truncated", "MAX_TOKENS"),
        (ended("STOP", "STOP", text=""), "empty", "STOP"),
        ({"key": "a", "response": {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]},
                                                    "finishReason": "STOP"}]}}, "empty", "STOP"),
        ({"key": "a", "response": {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]},
                                                    "finishReason": "STOP"}]}}, "ok", "STOP"),
    ],
)  # fmt: skip
def test_a_row_is_ok_only_if_all_its_candidates_are(row: Json, outcome: str, reason: str) -> None:
    verdict = outcomes.judge(row)
    assert (verdict.outcome, verdict.finish_reason) == (outcome, reason)
