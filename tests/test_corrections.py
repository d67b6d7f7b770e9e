"""Corrections: what is certain is mended and told, what is not stays, and a second time changes nothing."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_batch.resources import corrections
from genai_batch.resources.corrections import corrected
from genai_batch.resources.lines import parse
from genai_batch.resources.lint import fields
from genai_batch.resources.requests import Preflight
from tests.lint_cases import CASES, PNG, TEXT, URI, ask, camel, model

CERTAIN: dict[str, tuple[dict[str, Any], str]] = {
    "custom_id": ({"custom_id": "a", "request": ask()}, "renamed 'custom_id' to 'key'"),
    "a key that is a number": ({"key": 7, "request": ask()}, "wrote the key as a string"),
    "contents in a string": ({"key": "a", "request": {"contents": "hi"}}, "made contents a list"),
    "an OpenAI body": (
        {"key": "a", "request": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2_000}},
        "renamed 'messages' to 'contents'",
    ),
    "a setting beside contents": ({"key": "a", "request": ask() | {"seed": 1}}, "moved 'seed' into generation_config"),
    "contents beside request": (
        {"key": "a", "contents": ask()["contents"]},
        "moved 'contents' into request",
    ),
    "the config of the SDK": (
        {
            "key": "a",
            "request": {"contents": "hi", "config": {"systemInstruction": "be brief", "thinking_level": "LOW"}},
        },
        "spread 'config'",
    ),
    "a system turn": (
        {
            "key": "a",
            "request": {
                "contents": [
                    {"role": "system", "parts": [{"text": "be brief"}]},
                    {"role": "user", "parts": [{"text": "hi"}]},
                ]
            },
        },
        "made the turn of the role system the system_instruction",
    ),
    "one field in both spellings": (
        {"key": "a", "request": {"contents": "hi", "generationConfig": {"maxOutputTokens": 9, "max_output_tokens": 9}}},
        "left out 'max_output_tokens', which repeats 'maxOutputTokens'",
    ),
    **{
        name: ({"key": "a", "request": CASES[name].bad}, said)
        for name, said in {
            "field 8, a schema without its type": "set response_mime_type",
            "field 22, a data URI": "took base64 out of a data: URI",
            "field 8, a schema that names its dialect": "took '$schema' out of the schema",
            "field 8, nested classes": "wrote the definitions of the schema out",
            "field 8, a list of types": "wrote a list of types in the schema as nullable",
            "reference 1.4, both alphabets in base64": "wrote base64 in one alphabet",
            "reference 6.22, media without a type": "set mime_type to image/png",
            "reference 6.22, a type nobody spells so": "wrote mime_type 'image/jpg' as image/jpeg",
            "reference 3.1, a part of two kinds": "gave each kind of a part a part of its own",
            "reference 6.24, an empty system_instruction": "left out an empty system_instruction",
            "reference 3.1, one stop sequence": "made stop_sequences a list",
            "reference 3.1, logprobs without the switch": "set response_logprobs",
            "reference 3.1, tools that are no list": "made tools a list",
            "field 23, the search of Gemini 1.5": "wrote 'google_search_retrieval' as 'google_search'",
            "reference 3.1, a part of another API": "left out the type of a text part",
            "reference 3.1, a text that is a number": "wrote a text as a string",
            "reference 3.1, a role of another API": "wrote the role 'assistant' as 'model'",
            "field 10, thinking_level beside thinking_config": "moved 'thinking_level'",
            "field 8, system_instruction in generation_config": "moved 'systemInstruction' into request",
            "reference 1.3, system_instructions": "to 'system_instruction'",
        }.items()
    },
}


@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_certain_is_mended_and_told(name: str) -> None:
    line, said = CERTAIN[name]
    mended, changes = corrected(json.dumps(line).encode(), model())
    assert said in "; ".join(changes)
    left = [each.code for each in parse(mended, model()).faults]
    assert left in ([], ["ends-in-model"])
    assert corrected(mended, model()) == (mended, [])


UNCERTAIN: dict[str, dict[str, Any]] = {
    "a misspelt name": {"key": "a", "request": ask(temprature=1)},
    "two values of one field": {"key": "a", "request": ask(maxOutputTokens=9) | {"seed": 1, "max_output_tokens": 8}},
    "two schemas": {"key": "a", "request": CASES["field 9, both schemas"].bad},
    "a config of unknown fields": {"key": "a", "request": ask() | {"config": {"http_options": {}}}},
    "a config that contradicts": {"key": "a", "request": ask(seed=1) | {"config": {"seed": 2}}},
    "a class that holds itself": {"key": "a", "request": CASES["field 8, a class that holds itself"].bad},
    "a link of Vertex": {"key": "a", "request": CASES["reference 7, a file of Vertex"].bad},
    "no key at all": {"request": ask()},
    "two ids": {"id": "a", "custom_id": "b", "request": ask()},
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_what_is_not_certain_stays_and_is_told_again(name: str) -> None:
    raw = json.dumps(UNCERTAIN[name]).encode()
    assert parse(raw, model()).faults
    mended, _ = corrected(raw, model())
    assert parse(mended, model()).faults


def test_a_member_that_stands_twice_is_never_chosen_between() -> None:
    raw = b'{"key":"a","request":{"contents":"hi","generation_config":{"seed":1,"seed":2}}}'
    assert corrected(raw, model()) == (raw, [])


@pytest.mark.parametrize("name", CASES)
def test_mending_ends_and_never_makes_it_worse(name: str) -> None:
    case = CASES[name]
    raw = msgspec.json.encode({"key": "a", "request": case.bad})
    mended, changes = corrected(raw, model(case.model))
    before, after = (parse(each, model(case.model)).faults for each in (raw, mended))
    assert len(after) <= len(before)
    assert bool(changes) == (mended != raw)
    assert corrected(mended, model(case.model)) == (mended, [])
    assert changes == [] or before


def test_the_copy_keeps_every_line_in_its_place_and_what_has_no_fault_byte_for_byte(tmp_path: Path) -> None:
    source, copy = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    good = b'{ "key" : "good",  "request":{"contents":[{"parts":[{"text":"hi"}]}]} }'
    bad = b'{"key":"bad","request":{"contents":"hi"}}'
    source.write_bytes(b"\xef\xbb\xbf" + bad + b"\r\n\n" + good + b"\r\nnonsense\n" + good)
    done = corrections.write(source, copy, model())
    assert [(each.line, each.key, each.changed) for each in done.kept] == [
        (1, "bad", "made contents a list; made a turn of a string")
    ]
    lines = copy.read_bytes().split(b"\n")
    assert lines[1:] == source.read_bytes().split(b"\n")[1:]
    assert json.loads(lines[0].removeprefix(b"\xef\xbb\xbf"))["request"]["contents"][0]["role"] == "user"
    assert lines[0].endswith(b"\r")
    assert corrections.write(copy, tmp_path / "c.jsonl", model()).count == 0
    assert (tmp_path / "c.jsonl").read_bytes() == copy.read_bytes()


def test_of_a_file_of_every_fault_only_the_uncertain_are_left_in_the_copy(tmp_path: Path) -> None:
    source, copy, again = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    cases = [{"key": f"k{n}", "request": case.bad} for n, case in enumerate(CASES.values()) if case.model == TEXT]
    certain = [{**line, "key": f"certain{n}"} for n, (line, _) in enumerate(CERTAIN.values()) if line.get("key") == "a"]
    source.write_text("".join(json.dumps(line) + "\n" for line in [*certain, *cases]))
    before, done = Preflight(source, model()).run(), corrections.write(source, copy, model())
    after = Preflight(copy, model()).run()
    assert after.requests - before.requests == len(certain) + sum(_is_mended(line) for line in cases)
    assert len(certain) <= done.count <= len(certain) + len(cases)
    assert {problem.line for problem in after.findings.problems} <= {
        problem.line for problem in before.findings.problems
    }
    assert not [problem for problem in after.findings.problems if (problem.line or 0) <= len(certain)]
    assert corrections.write(copy, again, model()).count == 0
    assert again.read_bytes() == copy.read_bytes()


def _is_mended(line: dict[str, Any]) -> bool:
    raw = json.dumps(line).encode()
    return bool(parse(raw, model()).faults) and not parse(corrected(raw, model())[0], model()).faults


WORDS = sorted(
    {"key", "request", "custom_id", "id", "config", "messages", "max_tokens", "type", "properties", "items", "anyOf"}
    | fields.REQUEST | fields.EMBEDDING | fields.GENERATION | fields.THINKING | fields.PART | fields.BLOB | fields.FILE
    | fields.CONTENT | fields.TOOL | fields.SAFETY | fields.SPEECH | fields.IMAGE | fields.VERTEX
)  # fmt: skip
NAMES = st.sampled_from([*WORDS, *map(camel, WORDS)]) | st.text(max_size=3)
TEXTS = st.sampled_from(
    ["", "hi", "user", "assistant", "system", "image/jpg", "LOW", "data:image/png;base64,AA", URI, PNG]
)
SCALARS: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=9)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=25
)
MORE: st.SearchStrategy[dict[str, Any]] = st.dictionaries(NAMES, VALUES, max_size=2)
KNOWN = st.sampled_from([case.bad for case in CASES.values()] + [case.good for case in CASES.values()])


def _joined(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return known | more


def _line(request: Any, more: dict[str, Any]) -> dict[str, Any]:
    return {"key": "a", "request": request} | more


LINES = st.builds(_line, st.builds(_joined, KNOWN, MORE) | VALUES, MORE)
MODELS = st.sampled_from(
    ["gemini-3.8-flash", "gemini-2.5-pro", "gemini-3.1-flash-image", "gemini-3.8-flash-tts", "gemini-embedding-2"]
)


@settings(
    max_examples=600,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)
@given(line=LINES, name=MODELS)
def test_whatever_a_line_holds_it_is_judged_and_a_line_without_a_fault_is_never_changed(line: Any, name: str) -> None:
    raw = json.dumps(line).encode()
    judged = parse(raw, model(name))
    mended, changes = corrected(raw, model(name))
    if not judged.faults:
        assert (mended, changes) == (raw, [])
    assert bool(changes) == (mended != raw)
    assert corrected(mended, model(name)) == (mended, [])
