"""The fast pass says what the exact reader says, in one process or several, whatever the bytes."""

import io
import json
import os
import select
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.lines import parse
from genai_batch.resources.models import find
from genai_batch.resources.preflight.keys import Keys
from genai_batch.resources.preflight.learning import Judged, learn, silent
from genai_batch.resources.preflight.matching import Matcher
from genai_batch.resources.preflight.sampling import SMALL, Lesson
from genai_batch.resources.preflight.templates import Template
from genai_batch.resources.requests import Cut, Preflight
from genai_batch.resources.shapes import shape_of
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


def learned(*lines: bytes) -> tuple[Matcher, list[Judged]]:
    """A matcher that knows the forms of some good lines."""
    matcher, known = Matcher(Keys()), list[Judged]()
    for line in lines:
        read = parse(line, HERE)
        assert not read.faults
        judged = learn(line, read, HERE)
        assert judged
        if matcher.lacks(judged.variant):
            matcher.learn(Lesson(judged.variant, silent(read.request, HERE)))
            known.append(judged)
    return matcher, known


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


LEARNED = [
    written(row("a", "b"), 0),
    written(row("a", "b", max_output_tokens=9), 1),
    written({"key": "a", "request": {"contents": [{"parts": [{"text": "b"}, {"text": "c"}]}]}}, 1),
    written({"request": {"contents": [{"parts": [{"text": "b"}]}], "generation_config": {"seed": 1}}, "key": "a"}, 0),
]
MATCHER, KNOWN = learned(*LEARNED)


def agree(line: bytes, knowing: tuple[Matcher, list[Judged]] = (MATCHER, KNOWN)) -> bool:
    """Check that what matches is what the exact reader accepts as it is; whether it matched."""
    if b"\n" in line:
        return False
    matcher, known = knowing
    matched = matcher.match(line + b"\n")
    (run,) = matched.runs
    if run.missed:
        return False
    read = parse(line.strip(), HERE)
    ((number, met),) = matched.met.items()
    assert (met.rows, met.line, met.key) == (1, 0, read.key)
    assert (read.faults, read.extra) == ((), b"")
    assert (known[number].shape, known[number].doubts) == (shape_of(read.request, HERE), read.doubts)
    assert read.sent == line.strip()
    return True


@given(rows(), st.integers(0, 5))
@SHARED
def test_what_matches_is_what_the_exact_reader_accepts(value: dict[str, Any], style: int) -> None:
    agree(written(value, style))


@given(st.sampled_from(LEARNED), st.data())
@SHARED
def test_a_good_line_with_some_bytes_changed_is_never_accepted_by_one_reader_alone(
    line: bytes, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line)))
        gone = data.draw(st.integers(0, 12))
        new = data.draw(st.sampled_from([*PIECES, *MORE]) | st.binary(max_size=3))
        line = line[:at] + new + line[at + gone :]
    agree(line)


LONG_LINE = written(row("a", 'Nine "grey" herons\n' * 150, max_output_tokens=9), 1)
FOLLOWING = learned(LONG_LINE)
assert list(FOLLOWING[0].match(LONG_LINE + b"\n").runs)


@given(st.data())
@SHARED
def test_a_line_that_nearly_follows_a_template_is_never_accepted_by_one_reader_alone(data: st.DataObject) -> None:
    line = LONG_LINE
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, 110) | st.integers(len(line) - 70, len(line)))
        gone = data.draw(st.integers(0, 12))
        new = data.draw(st.sampled_from([*PIECES, *MORE]) | st.binary(max_size=3))
        line = line[:at] + new + line[at + gone :]
    agree(line, FOLLOWING)


def test_a_template_takes_other_strings_and_nothing_else() -> None:
    template = Template.of(LONG_LINE + b"\n")
    assert template
    for key, text in (("b", "x"), ("käse 7", 'with "quotes" and \\ and\nlines'), ("k", "日本語 ü 😀")):
        for style in (1, 4):
            read = followed(template, written(row(key, text, max_output_tokens=9), style) + b"\n")
            assert read == ([key] if style == 4 or key.isascii() else [])
    line = LONG_LINE + b"\n"
    for old, new in ((b"Nine", b'x", "text": "'), (b'"a"', b'"a", "key": "a"'), (b": 9", b": 8"), (b'"a"', b'""')):
        assert not followed(template, line.replace(old, new, 1))
    assert not followed(template, written(row("b", "", max_output_tokens=9), 1) + b"\n")
    assert not followed(template, line.replace(b"Nine", b"\xff"))


@pytest.mark.parametrize("odd", [b'"\\u00fc"', b'" "', b'"\xe2\x80\xae"'])
def test_one_odd_key_ends_a_template_and_has_no_line_before_it_read_again(odd: bytes) -> None:
    template, line = Template.of(LONG_LINE + b"\n"), LONG_LINE + b"\n"
    assert template
    block = 2 * line + line.replace(b'"a"', odd, 1) + line
    assert template.follow(block, 0, is_ascii=block.isascii()) == (2 * len(line), ["a", "a"])


def followed(template: Template, line: bytes) -> list[str]:
    """The keys of lines that follow a template, as they are written."""
    return template.follow(line, 0, is_ascii=line.isascii())[1]


TWICE = [
    b'{"key": "a", "request": {"contents": [{"role": "user", "parts": [{"text": "x", "text": "b"}]}]}}',
    b'{"key": "b", "key": "a", "request": {"contents": [{"role": "user", "parts": [{"text": "b"}]}]}}',
    b'{"key": "a", "request": {"contents": [{"role": "user", "role": "user", "parts": [{"text": "b"}]}]}}',
    rb'{"key":"a","request":{"contents":[{"role":"user","parts":[{"text":"1","text":"\u0022\u0022\u0022\u0022"}]}]}}',
    rb'{"key":"a","key":"\u0022\u0022\u0022\u0022","request":{"contents":[{"role":"user","parts":[{"text":"\"b"}]}]}}',
]


@pytest.mark.parametrize("line", TWICE)
def test_a_member_that_stands_twice_does_not_match(line: bytes) -> None:
    assert not agree(line)
    assert parse(line, HERE).faults


def test_ordinary_rows_match_in_every_spelling_and_style() -> None:
    for style in range(6):
        for text in ("plain", 'with "quotes" and \\ and\nlines', "日本語 ü 😀", 'a:b {"c": 1}'):
            assert agree(written(row("k-1", text), style)), (style, text)
    assert learned(b'{"key":"a","request":{"contents":[{"parts":[{"text":"b"}]}],"generationConfig":{"seed":3}}}')[1]


def good(count: int, start: int = 0, text: int = 12) -> list[bytes]:
    """Lines of rows whose texts differ."""
    made = (row(f"k{n}", " ".join(WORDS[(n * 7 + i) % len(WORDS)] for i in range(text + n % 9)), max_output_tokens=64)
            for n in range(start, start + count))  # fmt: skip
    return [json.dumps(value).encode() for value in made]


def passed(source: Path, helped: bool, cut: Cut | None = None) -> tuple[Preflight, bytes, bytes]:
    """Make the pass and keep the snapshot."""
    copy, extras = io.BytesIO(), io.BytesIO()
    found = Preflight(source, HERE, cut, helped=helped).run(copy, extras)
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


@pytest.mark.parametrize("helped", [False, True])
def test_a_large_source_is_copied_line_by_line_and_its_parts_cover_it(tmp_path: Path, helped: bool) -> None:
    lines = messy()
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    found, sent, extra = passed(tmp_path / "a.jsonl", helped, Cut(tokens=100_000))
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


def test_processes_find_what_one_process_finds(tmp_path: Path) -> None:
    lines = messy()
    for at, name in enumerate(BAD_LINES):
        bad = BAD_LINES[name][0]
        lines[500 + 700 * at] = bad if isinstance(bad, bytes) else bad.encode(errors="surrogatepass")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) * 2)
    assert told(passed(tmp_path / "a.jsonl", helped=False)[0]) == told(passed(tmp_path / "a.jsonl", helped=True)[0])


@pytest.mark.parametrize("helped", [False, True])
def test_a_thousand_mixed_faults_are_all_told_with_their_lines_in_one_pass(tmp_path: Path, helped: bool) -> None:
    lines = good(20_000)
    kinds = [text for text, _ in BAD_LINES.values()]
    bad = [text if isinstance(text, bytes) else text.encode(errors="surrogatepass") for text in kinds]
    own = (bad[n % len(bad)].replace(b'"key":"a', b'"key":"a%d' % n) for n in range(735))
    wrong = {n * 19 + 7: line for n, line in enumerate(own)} | {19_000 + n: lines[n * 19] for n in range(150)}
    lines[1] = json.dumps(row("good")).encode()
    for at, line in wrong.items():
        lines[at] = line
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found = passed(tmp_path / "a.jsonl", helped)[0]
    assert [problem.line for problem in found.findings.problems] == sorted(
        problem.line or 0 for problem in found.findings.problems
    )
    assert {problem.line for problem in found.findings.problems} == {at + 1 for at in wrong}
    assert found.requests == len(lines) - len(wrong)
    said = {problem.line: problem.problem for problem in found.findings.problems}
    assert all(said[19_001 + n] == f"repeats the key of line {n * 19 + 1}" for n in range(150))


def test_no_more_than_a_thousand_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good(9_000), *good(9_000), *[b"nonsense"] * 2_000]))
    found = passed(tmp_path / "a.jsonl", helped=False)[0]
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
        found = passed(tmp_path / "a.jsonl", helped=False)[0]
    except InvalidRequests:
        return
    assert found.findings.count or found.requests


@given(
    st.lists(
        st.sampled_from([*LEARNED, b"", b"{", b"\xff", b"7", b'{"key":"' + b"k" * 300 + b'"}']) | st.binary(max_size=9)
    )
)
@settings(SHARED, max_examples=25)
def test_bytes_between_good_lines_of_a_large_source_crash_nothing(tmp_path: Path, between: list[bytes]) -> None:
    lines = good(3_000)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines, *between, *good(2_000, 3_000)]))
    assert passed(tmp_path / "a.jsonl", helped=False)[0].requests >= 4_999


@given(st.lists(rows(), min_size=1, max_size=8, unique_by=lambda value: value["key"]), st.integers(0, 5))
@SHARED
def test_accepted_lines_come_out_as_they_went_in(tmp_path: Path, values: list[dict[str, Any]], style: int) -> None:
    lines = [written(value, style) for value in values]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found, sent, _ = passed(tmp_path / "a.jsonl", helped=False)
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
    assert passed(tmp_path / "a.jsonl", helped=False)[0].short.input == pytest.approx(exact, rel=0.01)


def test_rows_above_the_price_step_are_counted_each_whatever_is_sampled(tmp_path: Path) -> None:
    longest = [row(f"long{n}", "word " * 300_000, max_output_tokens=5) for n in range(3)]
    lines = [*good(9_000), *(json.dumps(value).encode() for value in longest)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    found = passed(tmp_path / "a.jsonl", helped=False)[0]
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


@pytest.mark.parametrize("helped", [False, True])
def test_a_source_that_changes_meanwhile_gives_no_digest_that_differs_from_the_snapshot(
    tmp_path: Path, helped: bool
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join(good(90_000)) + b"\n")
    copy = Spoiler(source)
    found = Preflight(source, HERE, None, helped=helped).run(copy)
    assert found.digest == blake3(copy.getvalue()).hexdigest()
    assert all(not parse(line, HERE).faults for line in copy.getvalue().splitlines()[::500])


def test_without_processes_of_its_own_the_pass_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(good(9_000)))
    alone = told(passed(tmp_path / "a.jsonl", helped=False)[0])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert told(passed(tmp_path / "a.jsonl", helped=True)[0]) == alone


def test_a_disk_that_is_full_is_told_by_the_pass(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(good(9_000)))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        Preflight(tmp_path / "a.jsonl", HERE).run(full)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches processes through Linux's pidfds")
def test_processes_end_with_the_one_that_started_them() -> None:
    code = "from genai_batch.resources.preflight.pool import Pool\nwith Pool(): print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        parent.stdout.readline()
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) == 1
        watched = [os.pidfd_open(int(pid)) for pid in children]
        parent.send_signal(signal.SIGKILL)
        for handle in watched:
            assert select.select([handle], [], [], 10)[0]
            os.close(handle)
