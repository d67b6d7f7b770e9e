"""Lint: every rule at work, both spellings, and all of a file in one pass."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_batch.resources import lint, models
from genai_batch.resources.lint import Tally
from genai_batch.resources.requests import Preflight
from tests.lint_cases import CASES, TEXT, Case, ask, camel, model

RULES = Path(lint.__file__).parent


def told(request: dict[str, Any], name: str) -> list[str]:
    """The codes of everything that is said of a request."""
    return [each.code for rule in (lint.faults, lint.doubts) for each in rule(request, model(name))]


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_of_what_is_wrong_and_not_of_what_is_right(name: str) -> None:
    case = CASES[name]
    assert case.code in told(case.bad, case.model)
    assert case.code not in told(case.good, case.model)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_takes_both_spellings(name: str) -> None:
    case = CASES[name]
    for request in (case.bad, case.good):
        assert sorted(told(request, case.model)) == sorted(told(_respelled(request, camel), case.model))
        assert sorted(told(request, case.model)) == sorted(told(_respelled(request, lint.snake), case.model))


def test_every_rule_has_its_examples() -> None:
    text = "".join(path.read_text() for path in RULES.glob("*.py"))
    codes = set(re.findall(r'\b(?:fault|doubt)\(\s*"([a-z0-9-]+)"', text))
    assert len(codes) > 80
    assert codes - {case.code for case in CASES.values()} == set()


def test_every_rule_says_what_to_do() -> None:
    for case in CASES.values():
        for each in [*lint.faults(case.bad, model(case.model)), *lint.doubts(case.bad, model(case.model))]:
            assert each.fix
            assert each.code
            assert len(each.problem) < 200


def test_settings_depend_on_nothing_of_the_turns_and_turns_on_nothing_else() -> None:
    for case in CASES.values():
        turns = {name: value for name, value in case.bad.items() if name in ("contents", "content")}
        rest = {name: value for name, value in case.bad.items() if name not in turns}
        of = model(case.model)
        assert lint.settings(rest, of) == lint.settings(case.bad, of)
        assert lint.turns(turns, of) == lint.turns(case.bad, of)
        assert [*lint.faults(case.bad, of)] == [*lint.settings(rest, of).faults, *lint.turns(turns, of).faults]


def test_a_request_of_the_sdk_s_own_making_is_clean() -> None:
    request: dict[str, Any] = {
        "contents": [
            {
                "parts": [{"text": "hi"}, {"inlineData": {"data": "iVBORw0KGgo_", "mime_type": "image/png"}}],
                "role": "user",
            }
        ],
        "systemInstruction": {"parts": [{"text": "be brief"}], "role": "user"},
        "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"}],
        "serviceTier": "flex",
        "labels": {"a": "b"},
        "generationConfig": {"maxOutputTokens": 2_000, "thinkingConfig": {"thinking_level": "LOW"}},
    }
    assert told(request, TEXT) == []


def test_a_name_that_moves_between_models_is_warned_of() -> None:
    said = models.warning(model("gemini-flash-latest"))
    assert said
    assert "price" in said.problem


def test_a_million_equal_doubts_are_said_once_with_their_count_and_first_line() -> None:
    tally = Tally()
    doubts = lint.settings(ask(temperature=0), model()).doubts
    tally.add(doubts, 40, "forty", rows=999_998)
    tally.add(lint.settings(ask(temperature=0, top_p=1), model()).doubts, 7, "seven")
    tally.add(doubts, 50, "fifty")
    (only,) = tally
    assert (only.line, only.key, only.rows) == (7, "seven", 1_000_000)
    assert "(1,000,000 rows, first here)" in only.sentence()
    assert "top_p" in only.sentence()


def _faulty(count: int) -> Iterator[tuple[int, str, Case | None]]:
    """Lines with numbers: a bad one of every rule in turn, and good ones between them."""
    cases = [case for case in CASES.values() if case.model == TEXT and len(json.dumps(case.bad)) < 10_000]
    cases = [case for case in cases if any(each.code == case.code for each in lint.faults(case.bad, model()))]
    drawn, bad, number = random.Random(7), 0, 0  # noqa: S311 - a seed makes the file the same each time
    while bad < count:
        number += 1
        case = cases[bad % len(cases)] if drawn.random() < 0.6 else None
        bad += case is not None
        yield number, json.dumps({"key": f"k{number}", "request": case.bad if case else ask()}), case


def test_a_thousand_mixed_faults_are_all_told_in_one_pass_with_their_lines(tmp_path: Path) -> None:
    lines = [*_faulty(1_000), *[(0, "nonsense", None)]]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f"{line}\n" for _, line, _ in lines))
    found = Preflight(source, model()).run().findings
    expected = [(number, each.problem) for number, _, case in lines if case for each in lint.faults(case.bad, model())]
    assert found.count == len(expected) + 1
    assert len({number for number, _ in expected}) == 1_000
    shown = [(each.line, each.problem) for each in found.problems]
    assert [line for line, _ in shown] == [number for number, _ in expected][: len(shown)]
    assert all(each.key == f"k{each.line}" for each in found.problems)


def _respelled(node: Any, spell: Any, ours: bool = True) -> Any:
    if isinstance(node, list):
        return [_respelled(each, spell, ours) for each in msgspec.convert(node, list[Any])]
    if not isinstance(node, dict):
        return node
    members = msgspec.convert(node, dict[str, Any])
    kept = {"response_schema", "response_json_schema"}
    return {
        spell(name) if ours else name: _respelled(value, spell, ours and lint.snake(name) not in kept)
        for name, value in members.items()
    }
