"""Whatever a source holds, the fast pass says what reading each line exactly says.

That is: every problem, every warning with its count and first line, every shape, the digest, the parts.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from genai_batch.resources import lint
from genai_batch.resources.lines import parse
from genai_batch.resources.models import Model, find
from genai_batch.resources.preflight import sampling
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.matching import Matched, Matcher, Run
from genai_batch.resources.preflight.parts import Cutter
from genai_batch.resources.requests import Cut, Preflight
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tokens.counting import by_kind

DAY = date(2026, 11, 20)
MODELS = ("gemini-3.8-flash", "gemini-3.6-flash", "gemini-2.5-flash", "gemini-3.1-flash-image", "gemini-embedding-2")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="
Row = dict[str, Any]

TURNS: list[Any] = [
    [{"role": "user", "parts": [{"text": "§"}]}],
    [{"parts": [{"text": "§"}]}],
    [{"role": "user", "parts": [{"text": "§"}, {"text": "more"}]}],
    [{"role": "user", "parts": [{"text": "§"}]}, {"role": "model", "parts": [{"text": "yes?"}]}],
    [{"role": "model", "parts": [{"text": "§"}]}, {"role": "user", "parts": [{"text": "§"}]}],
    [{"parts": [{"text": "§"}]}, {"parts": [{"text": "§"}]}],
    [{"role": "user", "parts": [{"text": "§"}]}, {"parts": [{"text": "§"}]}],
    [{"role": "user", "parts": [{"text": ""}]}],
    [{"role": "user", "parts": [{"text": "§"}, {"text": ""}]}],
    [{"role": "user", "parts": [{"text": "§"}, {"inline_data": {"mime_type": "image/png", "data": PIXEL}}]}],
    [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/gif", "data": PIXEL}}]}],
    [{"role": "user", "parts": [{"text": "§"}, {"file_data": {"file_uri": "https://files.example/a"}}]}],
    [{"role": "user", "parts": [{"file_data": {"file_uri": "files/abc", "mime_type": "video/mp4"}}]}],
    [{"role": "assistant", "parts": [{"text": "§"}]}],
    [{"role": None, "parts": [{"text": "§"}]}],
    [{"role": "user", "parts": []}],
    [{"role": "user", "parts": "§"}],
    "§",
]
OTHERS: list[Row] = [
    {},
    {"generation_config": {"max_output_tokens": 4_000}},
    {"generationConfig": {"maxOutputTokens": 50}},
    {"generation_config": {"max_output_tokens": 99_999, "temperature": 0.5}},
    {"generation_config": {"max_output_tokens": 900, "thinking_config": {"thinking_budget": 600}}},
    {"generation_config": {"thinkingConfig": {"thinkingLevel": "low"}, "candidate_count": 2}},
    {"generation_config": {"response_mime_type": "application/json", "response_schema": {"type": "OBJECT"}}},
    {"generation_config": {"response_modalities": ["IMAGE"], "image_config": {"image_size": "7K"}}},
    {"generation_config": {"seed": 1}, "tools": [{"google_search": {}}]},
    {"tools": [{"url_context": {}}, {"google_search": {}}], "systemInstruction": {"parts": [{"text": "Be kind."}]}},
    {"cached_content": "cachedContents/a"},
    {"model": "models/gemini-1.5-pro"},
    {"task_type": "CLUSTERING", "title": "none"},
    {"temperature": 1},
]
BESIDE: list[Row] = [{}, {}, {}, {"note": 'a "note"'}, {"temperature": 1}, {"n": [1, {"k": None}]}]
TEXTS = ["Nine herons", 'with "quotes"', "日本語 ü 😀", "back\\slash\n", " ", '":', "\\u0022"]
ODD = [b"", b"  ", b"{", b"\xff", b"7", b'{"key":1}', b'{"key":"k","key":"l","request":{}}', b"[1]", b"\x00"]


def drawn(chance: random.Random, number: int) -> bytes:
    """One line of some kind."""
    if chance.random() < 0.05:
        return chance.choice(ODD)
    text = chance.choice(TEXTS)
    turns = json.loads(json.dumps(chance.choice(TURNS), ensure_ascii=False).replace("§", json.dumps(text)[1:-1]))
    held: Row = {"contents": turns} if chance.random() < 0.9 else {"content": turns[0]}
    request = {**held, **chance.choice(OTHERS)}
    if chance.random() < 0.3:
        request = dict(reversed(request.items()))
    key = f"k{number if chance.random() < 0.97 else number // 2}"
    made = json.dumps({"key": key, "request": request, **chance.choice(BESIDE)}, ensure_ascii=chance.random() < 0.5)
    return made.replace(": ", ":").encode() if chance.random() < 0.5 else made.encode()


@dataclass
class Exact:
    """What reading every line exactly tells."""

    findings: Findings = field(default_factory=Findings)
    sent: bytes = b""
    extra: bytes = b""
    shapes: Counter[Shape] = field(default_factory=Counter[Shape])
    kinds: Counter[str] = field(default_factory=Counter[str])
    cutter: Cutter = field(default_factory=lambda: Cutter(Cut()))


def exactly(lines: Sequence[bytes], model: Model, cut: Cut) -> Exact:
    """Read one line after another."""
    read, doubts, keys = Exact(cutter=Cutter(cut)), lint.Tally(), dict[str, int]()
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        line = parse(raw.strip(), model)
        for fault in line.faults:
            read.findings.problem(fault.problem, fault.fix, line=number, key=line.key)
        doubts.add(line.doubts, number, line.key)
        first = number if line.key is None else keys.setdefault(line.key, number)
        if first != number:
            read.findings.problem(f"repeats the key of line {first}", "make keys unique", line=number, key=line.key)
        elif not line.faults:
            read.sent, read.extra = read.sent + line.sent + b"\n", read.extra + (line.extra and line.extra + b"\n")
            read.shapes[shape_of(line.request, model)] += 1
            read.kinds.update(by_kind(line.request, model))
            read.cutter.add(len(line.sent) + 1, 0)
    for told in doubts:
        read.findings.warn(told.sentence(), told.doubt.fix, line=told.line, key=told.key)
    return read


def agree(source: Path, lines: Sequence[bytes], model: Model, helped: bool) -> Preflight:
    """Check both ways against each other."""
    source.write_bytes(b"\n".join(lines) + b"\n")
    cut, copy, extras = Cut(bytes=5_000), io.BytesIO(), io.BytesIO()
    read = exactly(lines, model, cut)
    found = Preflight(source, model, cut, helped=helped).run(copy, extras)
    own = [each for each in found.findings.warnings if each.line]
    assert own == read.findings.warnings
    shapes = Counter[Shape]()
    for tier in (found.short, found.long):
        shapes.update({shape: int(rows) for shape, rows in tier.shapes.items() if rows})
    assert shapes == read.shapes
    assert found.makes_media == any(shape.media for shape in read.shapes)
    if read.findings.count:
        assert (found.findings.count, found.findings.problems) == (read.findings.count, read.findings.problems)
    else:
        assert (copy.getvalue(), extras.getvalue()) == (read.sent, read.extra)
        assert found.digest == blake3(read.sent).hexdigest()
        facts = [[(p.start, p.length, p.requests) for p in parts] for parts in (found.parts, read.cutter.parts)]
        assert facts[0] == facts[1]
    return found


def good(lines: Sequence[bytes], model: Model) -> list[bytes]:
    """Leave out what would be refused."""
    kept: dict[str | None, bytes] = {}
    for raw in lines:
        line = parse(raw.strip() or b"{", model)
        if not line.faults:
            kept.setdefault(line.key, raw)
    return list(kept.values())


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample, and so recognise rows, in small sources too."""
    monkeypatch.setattr(sampling, "SMALL", 1)


@given(st.randoms(use_true_random=False), st.sampled_from(MODELS), st.integers(1, 60), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@pytest.mark.usefixtures("sampled")
def test_the_pass_says_of_any_rows_what_the_exact_reader_says(
    tmp_path: Path, chance: random.Random, name: str, count: int, sound: bool
) -> None:
    model = find(name, DAY)
    lines = [drawn(chance, number) for number in range(count)]
    if sound:
        lines = good(lines, model)
    assume(lines and not lines[0].startswith(b"["))
    agree(tmp_path / "a.jsonl", lines, model, helped=False)


@pytest.mark.parametrize("helped", [False, True])
@pytest.mark.parametrize("name", MODELS[:2])
@pytest.mark.parametrize("sound", [True, False])
def test_of_many_rows_a_share_is_recognised_and_all_verdicts_are_those_of_the_exact_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helped: bool, name: str, sound: bool
) -> None:
    model, chance = find(name, DAY), random.Random(5)  # noqa: S311 - a test repeats itself
    lines = [drawn(chance, number) for number in range(12_000)]
    matched: list[int] = []
    match = Matcher.match

    def watched(self: Matcher, block: bytes, offset: int = 0) -> Matched:
        made = match(self, block, offset)

        def runs() -> Iterator[Run]:
            yield from made.runs
            matched.append(sum(rows.rows for rows in made.met.values()))

        return Matched(runs(), made.met)

    if not helped:
        monkeypatch.setattr(Matcher, "match", watched)
    found = agree(tmp_path / "a.jsonl", good(lines, model) if sound else lines, model, helped)
    assert helped or sum(matched) > found.requests / 5


@pytest.mark.parametrize("helped", [False, True])
def test_tokens_by_kind_of_a_large_source_lie_within_what_the_sample_leaves_unsure(
    tmp_path: Path, helped: bool
) -> None:
    model, chance = find(MODELS[0], DAY), random.Random(6)  # noqa: S311 - a test repeats itself
    lines = good([drawn(chance, number) for number in range(30_000)], model)
    read = exactly(lines, model, Cut())
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    short = Preflight(tmp_path / "a.jsonl", model, None, helped=helped).run().short
    whole = read.kinds.total()
    assert 0 < short.unsure < 0.05
    assert short.input == pytest.approx(whole, rel=short.unsure)
    for kind, count in read.kinds.items():
        assert short.by_kind[kind] == pytest.approx(count, abs=0.03 * whole)
