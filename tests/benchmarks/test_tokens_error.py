"""The judge of the offline count, and the fit that made it, on pairs made up here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_batch.resources.tokens.coefficients import coefficients
from genai_batch.resources.tokens.text import NAMES, of_text, use
from tests.benchmarks.fit_tokens import DATA, fit, write
from tests.benchmarks.least_squares import Prior, solve
from tests.benchmarks.token_pairs import Pair, read
from tests.benchmarks.tokens_error import report

TEXT = "Words about {} of a made up text, with more of them behind it."


def pairs(factor: float, count: int = 12) -> list[Pair]:
    texts = [TEXT.format("ab" * number) for number in range(count)]
    return [Pair({"text": text, "model": "gemini-3.8-flash", "tokens": factor * of_text(text)}) for text in texts]


@pytest.fixture(autouse=True)
def coefficients_as_they_were() -> Iterator[None]:
    yield
    use([coefficients()["text"][name] for name in NAMES])


def test_a_class_is_judged_by_its_total_from_ten_pairs_on() -> None:
    table, held = report(pairs(1.1))
    assert held
    assert "-9.1%" in table
    table, held = report(pairs(1.5))
    assert not held
    assert "MISSED" in table
    assert report(pairs(1.5, count=9))[1]


def test_held_out_pairs_are_estimated_by_the_others() -> None:
    table, held = report(pairs(1.5), validate=True)
    assert held, table


def test_held_out_pairs_teach_nothing_about_themselves() -> None:
    digits = [Pair({"text": "7" * 50, "model": "gemini-3.8-flash", "language": "digits", "tokens": 50})] * 12
    assert report([*pairs(1), *digits])[1]
    table, held = report([*pairs(1), *digits], validate=True)
    assert not held
    assert any(line.startswith("text digits") and line.endswith("MISSED") for line in table.splitlines())


def test_media_of_unknown_size_are_left_out_and_counted() -> None:
    unknown = Pair(
        {"text": "", "model": "gemini-3.8-flash", "kind": "audio", "media": [{"mime": "audio/wav"}], "tokens": 9}
    )
    assert "1 pairs left out" in report([*pairs(1), unknown])[0]


def test_a_line_that_is_no_pair_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "model": "m", "tokens": 1}) + "\n{}\n")
    with pytest.raises(ValueError, match=r"a.jsonl:2: not an object"):
        read(tmp_path / "a.jsonl")


def test_a_fit_is_written_into_the_data_file_and_nothing_else_moves(tmp_path: Path) -> None:
    copy = tmp_path / "tokens.toml"
    copy.write_text(DATA.read_text())
    write(fit(pairs(2)), copy)
    before, after = DATA.read_text().splitlines(), copy.read_text().splitlines()
    assert len(before) == len(after)
    moved = [line.split(" = ")[0] for line, other in zip(before, after, strict=True) if line != other]
    assert "words" in moved
    assert "tile" not in moved


def test_least_squares_find_what_made_the_numbers_and_nothing_negative() -> None:
    rows = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [3.0, 5.0, 0.0], [1.0, 1.0, 0.0]]
    found = solve(rows, [8.0, 7.0, 21.0, 5.0], [1.0] * 4, [Prior(), Prior(), Prior(0.4)])
    assert found == pytest.approx([2, 3, 0.4], abs=1e-3)
    assert solve([[1.0], [2.0]], [-1.0, -2.0], [1.0, 1.0], [Prior()]) == [0]
