"""The fast pass says what the exact reader says, whatever the bytes."""

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.lines import parse
from genai_batch.resources.lint import Fault
from genai_batch.resources.models import find
from genai_batch.resources.requests import Cut, Preflight
from genai_batch.resources.scanning import scanner
from genai_batch.resources.scanning.plain_lines import PlainLines
from genai_batch.resources.scanning.rich_lines import RichLines
from genai_batch.resources.scanning.settings import SettingsMemo
from genai_batch.resources.scanning.token_sample import SMALL
from genai_batch.resources.scanning.turns import TurnsMemo
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tally import Tier
from genai_batch.resources.tokens.counting import of_request
from tests.test_bad_input import BAD_LINES
from tests.world import MODEL, row

HERE = find(MODEL, date(2026, 11, 20))
WORDS = [
    "Nine",
    "grey",
    "herons",
    "stood",
    "by",
    "the",
    "water,",
    "waiting",
    "for",
    "fish",
    "that",
    "never",
    "came.",
    "",
]
PIECES = [
    b"",
    b'"',
    b"\\",
    b"\\u0022",
    b'"text":"x",',
    b'"key":"k",',
    b'"role":"user",',
    b'"seed":2,',
    b"\xff",
    b"\x00",
    b" ",
]
MORE = [b",", b":", b"}", b"]", b"\\ud800", b"\xc3\xbc", b'"generation_config":{},', b'"parts":[{"text":"y"}],']
TEXTS = st.text(max_size=30) | st.sampled_from(['"', '\\"', '":', "\\u0022", "ü", "日本", "\x00", " ", "", "😀"])
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(value: Any, style: int) -> bytes:
    """Write JSON the ways programs do."""
    separators = [(",", ":"), (", ", ": "), (" , ", " : ")][style % 3]
    return json.dumps(value, ensure_ascii=style < 3, separators=separators).encode(errors="surrogatepass")


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Rows that are good, or nearly."""
    part = st.fixed_dictionaries({"text": TEXTS})
    turn = st.fixed_dictionaries(
        {"parts": st.lists(part, min_size=1, max_size=2)}, optional={"role": st.sampled_from(["user", "model"])}
    )
    config = st.sampled_from([{"max_output_tokens": 9}, {"maxOutputTokens": 7, "temperature": 0.5}, {"seed": 1}, {}])
    request = st.fixed_dictionaries(
        {"contents": st.lists(turn, min_size=1, max_size=2)},
        optional={"generation_config": config, "systemInstruction": turn, "model": st.just("models/other")},
    )
    return {"key": draw(st.text(min_size=1, max_size=9)), "request": draw(request)}


LINES = [
    written(row("a", "b"), 0),
    written(row("a", "b", max_output_tokens=9), 1),
    written({"key": "a", "request": {"contents": [{"parts": [{"text": "b"}, {"text": "c"}]}]}}, 1),
    written({"request": {"contents": [{"parts": [{"text": "b"}]}], "generation_config": {"seed": 1}}, "key": "a"}, 0),
    written({"key": "a", "note": [1, {"x": "y"}], "request": {"contents": [{"parts": [{"text": "b"}]}]}, "n": 0.5}, 1),
]


class Reader:
    """Reads lines one after another with one memory, as a scan does."""

    def __init__(self, *lines: bytes) -> None:
        """Remember what some good lines teach."""
        self.settings = SettingsMemo(HERE)
        turns = TurnsMemo(HERE)
        self.plain = PlainLines(HERE, self.settings, turns)
        self.rich = RichLines(HERE, self.settings, turns, self.plain)
        for line in lines:
            assert not parse(line, HERE).faults
            assert self.accepts(line)

    def accepts(self, line: bytes) -> bool:
        """Whether a line is recognised; checks that what is known of it is what the exact reader says of it."""
        if b"\n" in line:
            return False
        batch = self.plain.read([line], line, 0, len(line))
        entry, rich = batch.entries[0], self.rich.read(line)
        if entry and entry.settings:
            said = batch.said.get(0)
            found = batch.rows[0].key, entry.settings.shape, (*entry.settings.doubts, *(said.doubts if said else ()))
            self._check(line, *found)
        if 0 in batch.more and (columns := self.rich.columns(line, batch.more[0][1])):
            read = parse(line.strip(), HERE)
            assert (read.faults, read.sent, read.extra) == ((), columns.sent, columns.extra)
        if rich and rich.entry.settings:
            doubts = (*rich.beside, *rich.entry.settings.doubts, *rich.said.doubts)
            self._check(line, rich.key, rich.entry.settings.shape, doubts)
            read = parse(line.strip(), HERE)
            assert not rich.sent or (read.sent, read.extra) == (rich.sent, rich.extra)
        return bool(entry or rich)

    def _check(self, line: bytes, key: str, shape: Shape, doubts: tuple[Fault, ...]) -> None:
        read = parse(line.strip(), HERE)
        assert (read.faults, read.key, read.doubts) == ((), key, doubts)
        assert shape == shape_of(read.request, HERE)


READER = Reader(*LINES)


@given(rows(), st.integers(0, 5))
@SHARED
def test_what_is_recognised_is_what_the_exact_reader_accepts(value: dict[str, Any], style: int) -> None:
    READER.accepts(written(value, style))


def spoiled(line: bytes, data: st.DataObject, times: int, places: st.SearchStrategy[int]) -> bytes:
    """A line with some bytes changed."""
    for _ in range(times):
        at = data.draw(places)
        gone = data.draw(st.integers(0, 12))
        new = data.draw(st.sampled_from([*PIECES, *MORE]) | st.binary(max_size=3))
        line = line[:at] + new + line[at + gone :]
    return line


@given(st.sampled_from(LINES), st.data())
@SHARED
def test_a_good_line_with_some_bytes_changed_is_never_accepted_by_one_reader_alone(
    line: bytes, data: st.DataObject
) -> None:
    READER.accepts(spoiled(line, data, data.draw(st.integers(1, 3)), st.integers(0, len(line))))


LONG_LINE = written(row("a", 'Nine "grey" herons\n' * 150, max_output_tokens=9), 1)
READER.accepts(LONG_LINE)


@given(st.data())
@SHARED
def test_a_long_line_with_some_bytes_changed_is_never_accepted_by_one_reader_alone(data: st.DataObject) -> None:
    ends = st.integers(0, 110) | st.integers(len(LONG_LINE) - 70, len(LONG_LINE))
    READER.accepts(spoiled(LONG_LINE, data, data.draw(st.integers(0, 3)), ends))


def test_a_long_line_is_recognised_with_other_words_and_with_nothing_else() -> None:
    for key, text in (
        ("b", "x" * 2_000),
        ("käse 7", 'with "quotes" and \\ and\nlines' * 99),
        ("k", "日本語 ü 😀" * 99),
    ):
        for style in (1, 4):
            assert READER.accepts(written(row(key, text, max_output_tokens=9), style))
    for old, new in ((b"Nine", b'x", "text": "'), (b'"a"', b'"a", "key": "a"'), (b'"a"', b'""'), (b"Nine", b"\xff")):
        assert not READER.accepts(LONG_LINE.replace(old, new, 1))
    assert not READER.accepts(written(row("b", "", max_output_tokens=9), 1))


@pytest.mark.parametrize("odd", ["ü", " ", "\u202e"])
def test_one_odd_key_has_no_line_around_it_read_otherwise(tmp_path: Path, odd: str) -> None:
    keys = ["a", "b", odd, "c"]
    lines = [LONG_LINE.replace(b'"a"', json.dumps(key).encode(), 1) for key in keys] * 300
    made = [line.replace(b'"key": "', b'"key": "%d' % number) for number, line in enumerate(lines)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(made) + b"\n")
    found, sent, _ = passed(tmp_path / "a.jsonl")
    assert (found.findings.count, found.requests, sent) == (0, 1_200, b"\n".join(made) + b"\n")


TWICE = [
    b'{"key": "a", "request": {"contents": [{"role": "user", "parts": [{"text": "x", "text": "b"}]}]}}',
    b'{"key": "b", "key": "a", "request": {"contents": [{"role": "user", "parts": [{"text": "b"}]}]}}',
    b'{"key": "a", "request": {"contents": [{"role": "user", "role": "user", "parts": [{"text": "b"}]}]}}',
    rb'{"key":"a","request":{"contents":[{"role":"user","parts":[{"text":"1","text":"\u0022\u0022\u0022\u0022"}]}]}}',
    rb'{"key":"a","key":"\u0022\u0022\u0022\u0022","request":{"contents":[{"role":"user","parts":[{"text":"\"b"}]}]}}',
    b'{"key": "a", "n": {"x": 1, "x": 2}, "request": {"contents": [{"parts": [{"text": "b"}]}]}}',
    rb'{"key":"a","request":{"systemInstruction":{"parts":[{"text":"\u0022\u0022"}]},"contents":[{"parts":[{"text":"b%s"}]}],"labels":{"x":1,"x":2}}}'
    % (b"!" * 2_000),
    rb'{"key":"a","n":"\u0022\u0022","n":"\"\"","request":{"contents":[{"parts":[{"text":"\u0022\u0022b"}]}]}}',
]


@pytest.mark.parametrize("line", TWICE)
def test_a_member_that_stands_twice_is_not_recognised(line: bytes) -> None:
    assert not READER.accepts(line)
    assert parse(line, HERE).faults


def test_ordinary_rows_are_recognised_in_every_spelling_and_style() -> None:
    for style in range(6):
        for text in ("plain", 'with "quotes" and \\ and\nlines', "日本語 ü 😀", 'a:b {"c": 1}'):
            assert READER.accepts(written(row("k-1", text), style)), (style, text)
    assert READER.accepts(
        b'{"key":"a","request":{"contents":[{"parts":[{"text":"b"}]}],"generationConfig":{"seed":3}}}'
    )


def good(count: int, start: int = 0, text: int = 12) -> list[bytes]:
    """Lines of rows whose texts differ."""
    made = (row(f"k{n}", " ".join(WORDS[(n * 7 + i) % len(WORDS)] for i in range(text + n % 9)), max_output_tokens=64)
            for n in range(start, start + count))  # fmt: skip
    return [json.dumps(value).encode() for value in made]


def passed(source: Path, cut: Cut | None = None) -> tuple[Preflight, bytes, bytes]:
    """Make the pass and keep the snapshot."""
    copy, extras = io.BytesIO(), io.BytesIO()
    found = Preflight(source, HERE, cut).run(copy, extras)
    assert found.digest == blake3(copy.getvalue()).hexdigest()
    return found, copy.getvalue(), extras.getvalue()


def told(found: Preflight) -> list[tuple[Any, ...]]:
    """Everything a pass found."""
    facts = [found.requests, found.findings.count, found.short, found.long, found.makes_media, found.digest, found.size]
    problems = [(p.line, p.key, p.problem) for p in (*found.findings.problems, *found.findings.warnings)]
    return [tuple(facts), *problems, *((part.start, part.length, part.requests, part.tokens) for part in found.parts)]


def bounds(tier: Tier) -> dict[int | None, float]:
    """Rows by the most they may write."""
    counts: dict[int | None, float] = {}
    for shape, count in tier.shapes.items():
        counts[shape.bound] = counts.get(shape.bound, 0) + count
    return counts


def messy() -> list[bytes]:
    """Lines of several shapes, among them what is accepted in another form."""
    lines = good(30_000)
    lines[5_000] = json.dumps({**row("extra"), "note": 1}).encode()
    lines[9_000] = b""
    lines[9_001] = lines[9_001] + b"\r"
    lines[12_000] = b"  " + lines[12_000] + b" "
    lines[20_000:21_000] = [json.dumps(row(f"t{n}", "hi", temperature=n % 40 / 20)).encode() for n in range(1_000)]
    return lines


def test_a_large_source_is_copied_line_by_line_and_its_parts_cover_it(tmp_path: Path) -> None:
    lines = messy()
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    found, sent, extra = passed(tmp_path / "a.jsonl", Cut(tokens=100_000))
    assert (found.findings.count, found.requests) == (0, 29_999)
    assert [json.loads(line) for line in sent.splitlines()] == [
        {name: json.loads(line)[name] for name in ("key", "request")} for line in lines if line
    ]
    assert json.loads(extra) == {"key": "extra", "note": 1}
    assert [part.start for part in found.parts] == [
        sum(p.length for p in found.parts[:n]) for n in range(len(found.parts))
    ]
    assert sum(part.length for part in found.parts) == len(sent) == found.size
    assert sum(part.requests for part in found.parts) == found.requests
    assert all(sent[part.start - 1 : part.start] in (b"\n", b"") for part in found.parts)
    assert max(part.tokens for part in found.parts) <= 100_000
    assert bounds(found.short) == {64: 29_999 - 1 - 1_000, None: 1_001}


def test_a_pass_finds_the_same_however_its_lines_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = messy()
    for at, name in enumerate(BAD_LINES):
        bad = BAD_LINES[name][0]
        lines[500 + 700 * at] = bad if isinstance(bad, bytes) else bad.encode(errors="surrogatepass")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) * 2)
    usual = told(passed(tmp_path / "a.jsonl")[0])
    monkeypatch.setattr(scanner, "RUN", 900)
    found = told(passed(tmp_path / "a.jsonl")[0])
    for facts, same in zip(found[1:], usual[1:], strict=True):
        assert facts[:3] == same[:3]
        assert facts[3:] == pytest.approx(same[3:])


def test_a_thousand_mixed_faults_are_all_told_with_their_lines_in_one_pass(tmp_path: Path) -> None:
    lines = good(20_000)
    kinds = [text for text, _ in BAD_LINES.values()]
    bad = [text if isinstance(text, bytes) else text.encode(errors="surrogatepass") for text in kinds]
    own = (bad[n % len(bad)].replace(b'"key":"a', b'"key":"a%d' % n) for n in range(735))
    wrong = {n * 19 + 7: line for n, line in enumerate(own)} | {19_000 + n: lines[n * 19] for n in range(150)}
    lines[1] = json.dumps(row("good")).encode()
    for at, line in wrong.items():
        lines[at] = line
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found = passed(tmp_path / "a.jsonl")[0]
    assert [problem.line for problem in found.findings.problems] == sorted(
        problem.line or 0 for problem in found.findings.problems
    )
    assert {problem.line for problem in found.findings.problems} == {at + 1 for at in wrong}
    assert found.requests == len(lines) - len(wrong)
    said = {problem.line: problem.problem for problem in found.findings.problems}
    assert all(said[19_001 + n] == f"repeats the key of line {n * 19 + 1}" for n in range(150))


def test_no_more_than_a_thousand_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good(9_000), *good(9_000), *[b"nonsense"] * 2_000]))
    found = passed(tmp_path / "a.jsonl")[0]
    assert (found.findings.count, len(found.findings.problems), found.requests) == (11_000, 1_000, 9_000)
    assert [problem.line for problem in found.findings.problems] == list(range(9_001, 10_001))


@given(st.binary(max_size=400))
@example(b"[" * 5_000)
@example(b'{"key":"a","request":' + b'{"contents":' * 300)
@example(b"\xef\xbb\xbf")
@example(b"\r\n\r\n\x00\n")
@SHARED
def test_no_sequence_of_bytes_crashes_the_reader(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    try:
        found = passed(tmp_path / "a.jsonl")[0]
    except InvalidRequests:
        return
    assert found.findings.count or found.requests


@given(
    st.lists(
        st.sampled_from([*LINES, b"", b"{", b"\xff", b"7", b'{"key":"' + b"k" * 300 + b'"}']) | st.binary(max_size=9)
    )
)
@settings(SHARED, max_examples=25)
def test_bytes_between_good_lines_of_a_large_source_crash_nothing(tmp_path: Path, between: list[bytes]) -> None:
    lines = good(3_000)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines, *between, *good(2_000, 3_000)]))
    assert passed(tmp_path / "a.jsonl")[0].requests >= 4_999


@given(st.lists(rows(), min_size=1, max_size=8, unique_by=lambda value: value["key"]), st.integers(0, 5))
@SHARED
def test_accepted_lines_come_out_as_they_went_in(tmp_path: Path, values: list[dict[str, Any]], style: int) -> None:
    lines = [written(value, style) for value in values]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found, sent, _ = passed(tmp_path / "a.jsonl")
    if not found.findings.count:
        assert sent == b"\n".join(lines) + b"\n"


def test_the_sampled_count_is_close_to_the_exact_one_where_languages_and_lengths_are_mixed(tmp_path: Path) -> None:
    kinds = [
        "A short English question?",
        "日本語の質問に答えてください。" * 9,
        "Что это за вопрос такой? " * 40,
        "word " * 900,
    ]
    values = [row(f"k{n}", f"{n} {kinds[n * n % 4 if n % 3 else n % 4]}") for n in range(12_000)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
    assert (tmp_path / "a.jsonl").stat().st_size > 10 * SMALL
    exact = sum(of_request(value["request"], HERE) for value in values)
    assert passed(tmp_path / "a.jsonl")[0].short.input == pytest.approx(exact, rel=0.01)


def test_rows_above_the_price_step_are_counted_each_whatever_is_sampled(tmp_path: Path) -> None:
    longest = [row(f"long{n}", "word " * 300_000, max_output_tokens=5) for n in range(3)]
    lines = [*good(9_000), *(json.dumps(value).encode() for value in longest)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found = passed(tmp_path / "a.jsonl")[0]
    assert (found.long.rows, bounds(found.long), found.short.rows) == (3, {5: 3}, 9_000)
    assert found.long.input == pytest.approx(sum(of_request(v["request"], HERE) for v in longest), rel=0.01)


class Spoiler(io.BytesIO):
    """A snapshot that changes its source as soon as the first lines are in it."""

    def __init__(self, source: Path) -> None:
        super().__init__()
        self._source = source

    def write(self, piece: Any) -> int:
        with self._source.open("r+b") as file:
            file.seek(0)
            file.write(b"#" * 9_000_000)
        return super().write(piece)


def test_a_source_that_changes_meanwhile_gives_no_digest_that_differs_from_the_snapshot(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(good(90_000)) + b"\n")
    copy = Spoiler(source)
    found = Preflight(source, HERE).run(copy)
    assert found.digest == blake3(copy.getvalue()).hexdigest()
    assert all(not parse(line, HERE).faults for line in copy.getvalue().splitlines()[::500])


def test_a_disk_that_is_full_is_told_by_the_pass(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(good(9_000)))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        Preflight(tmp_path / "a.jsonl", HERE).run(full)
