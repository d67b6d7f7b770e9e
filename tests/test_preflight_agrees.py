"""Whatever a source holds, the fast pass says what reading each line exactly says.

That is: every problem, every warning with its count and first line, every shape, the digest, the parts.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from genai_batch.resources import lint
from genai_batch.resources.lines import Line, parse
from genai_batch.resources.lint import Fault
from genai_batch.resources.local_files import named_in
from genai_batch.resources.models import Model, find
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.preflight.parts import Cutter
from genai_batch.resources.requests import Cut, Preflight
from genai_batch.resources.scanning import scanner, token_sample
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
    [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "mime_type": "image/png", "data": PIXEL}}]}],
    [{"role": "user", "parts": [{"text": "§"}, {"file_data": {"file_uri": "https://files.example/a"}}]}],
    [{"role": "user", "parts": [{"file_data": {"file_uri": "files/abc", "mime_type": "video/mp4"}}]}],
    [{"role": "user", "parts": [{"fileData": {"fileUri": "http://a.example/§", "mimeType": "image/png"}}]}],
    [{"role": "user", "parts": [{"fileData": {"fileUri": "local:" + "a" * 64, "mimeType": "image/png"}}]}],
    [{"role": "user", "parts": [{"fileData": {"fileUri": "gs://a/b", "mimeType": "image/png"}}]}],
    [{"role": "user", "parts": [{"fileData": {"fileUri": "files/a"}, "mediaResolution": {"level": "low"}}]}],
    [{"role": "user", "parts": [{"text": "§", "thought": True}]}],
    [
        {"role": "model", "parts": [{"text": "§", "thoughtSignature": "c2ln"}]},
        {"role": "user", "parts": [{"text": "a"}]},
    ],
    [{"role": "user", "parts": [{"text": "§", "text_": 1}]}],
    [
        {"role": "user", "parts": [{"text": "§"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": "§", "fileUri": "local:1"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"b": [1, None, {"c": "§"}]}}}]},
    ],
    [
        {"role": "user", "parts": [{"function_call": {"name": "f", "args": {"topK": 1, "top_k": 2}}}]},
        {"role": "function", "parts": [{"function_response": {"name": "f", "response": {}, "willContinue": {}}}]},
    ],
    [{"role": "user", "parts": [{"function_call": {"name": "f", "id": {"topK": 1, "top_k": 2}}}]}],
    [{"role": "user", "parts": [{"executableCode": {"code": "§", "language": "PYTHON"}}]}],
    [
        {
            "role": "user",
            "parts": [{"text": "§", "video_metadata": {"fps": 1, "startOffset": "1s", "start_offset": "2s"}}],
        }
    ],
    [{"role": "user", "parts": [{"text": "§", "inline_data": None}]}],
    [{"role": "user", "parts": [{"text": "§", "function_call": {"name": "f"}}]}],
    [{"role": "user", "parts": [{"text": 7}]}],
    [{"role": "user", "parts": [{}]}],
    [{"role": "user", "parts": [{"text": "§"}], "partz": []}],
    [{"role": "assistant", "parts": [{"text": "§"}]}],
    [{"role": None, "parts": [{"text": "§"}]}],
    [{"role": "user", "parts": []}],
    [{"role": "user", "parts": "§"}],
    [{"role": "user"}],
    [],
    "§",
]
OTHERS: list[Row] = [
    {},
    {"generation_config": {"max_output_tokens": 4_000}},
    {"generationConfig": {"maxOutputTokens": 50}},
    {"generation_config": {"max_output_tokens": 99_999, "temperature": 0.5}},
    {"generation_config": {"max_output_tokens": 900, "thinking_config": {"thinking_budget": 600}}},
    {"generation_config": {"thinkingConfig": {"thinkingLevel": "low"}, "candidate_count": 2}},
    {"generation_config": {"thinking_config": {"thinking_level": "LOW", "thinking_budget": 5}}},
    {"generation_config": {"response_mime_type": "application/json", "response_schema": {"type": "OBJECT"}}},
    {"generation_config": {"response_modalities": ["IMAGE"], "image_config": {"image_size": "7K"}}},
    {"generation_config": {"seed": 1}, "tools": [{"google_search": {}}]},
    {"generation_config": {"topP": 0.5, "top_p": 0.5}},
    {"generation_config": {"media_resolution": "MEDIA_RESOLUTION_LOW", "stop_sequences": ["§", "END"]}},
    {"generation_config": None},
    {"generation_config": {"temperature": None, "thinking_config": None, "response_schema": None}},
    {"generation_config": {"temperatur": 1}},
    {"generation_config": {"presence_penalty": 0.5, "frequencyPenalty": 0, "logprobs": 3, "responseLogprobs": True}},
    {"tools": [{"url_context": {}}, {"google_search": {}}], "systemInstruction": {"parts": [{"text": "Be kind."}]}},
    {"tools": [{"function_declarations": [{"name": "f"}]}, {"codeExecution": {}}]},
    {"tools": [{"functionDeclarations": [{"name": "f", "parameters_json_schema": {}, "parametersJsonSchema": {}}]}]},
    {"tools": {"google_search": {}}},
    {"system_instruction": "§", "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
    {"system_instruction": {"parts": [{"text": " "}]}},
    {"cached_content": "cachedContents/a"},
    {"model": "models/gemini-1.5-pro"},
    {"task_type": "CLUSTERING", "title": "none"},
    {"labels": {"team": "a", "Team": "b"}, "serviceTier": "flex", "store": False},
    {"temperature": 1},
    {"labels": {"a": {"fileUri": "local:" + "a" * 64}}},
]
BESIDE: list[Row] = [
    {}, {}, {}, {"note": 'a "note"'}, {"temperature": 1}, {"n": [1, {"k": None}]}, {"Key": "ü", "x": 1.0, "y": 1e30},
    {"contents": 1}, {"id": 7, "topK": 2, "a": {"b": {"c": ["\ud83d\ude00", '":', ""]}}}, {"n": "§"},
]  # fmt: skip
TEXTS = [
    "Nine herons", 'with "quotes"', "日本語 ü 😀", "back\\slash\n", " ", '":', "\\u0022", '{"a": {"b": ":"}}',
    'x\\": "y',
    "lorem ipsum " * 200, '"日本" ' * 300, '{"key": "k"} \\ ' * 150,
]  # fmt: skip
ODD = [b"", b"  ", b"{", b"\xff", b"7", b'{"key":1}', b'{"key":"k","key":"l","request":{}}', b"[1]", b"\x00"]
DEEP = "[" * 97 + "]" * 97
MARKS: list[tuple[str, str]] = [
    ('"parts":', '"parts": [{"text": "old"}], "parts":'),
    ('"role":', '"role": "user", "role":'),
    ('"contents":', '"contents": [], "contents":'),
    ('"request":', '"note": 1, "note": 2, "request":'),
    ('"request":', '"note": {"a": 1, "a": 2}, "request":'),
    ('"request":', '"deep": ' + DEEP + ', "request":'),
    ('"contents":', '"labels": {"a": ' + DEEP + '}, "contents":'),
    ('"text":', '"text": "\\u0022", "text":'),
    ('"text":', '"te\\u0078t":'),
    ('"text"', '"text" '),
    ('"seed":', '"seed": 1e999, "x":'),
    ('"temperature":', '"temperature": 1, "temperature":'),
    ('"enum":', '"enum": [], "enum":'),
    ('"parts":', '"\\u0022\\u0022": 1, "parts":'),
    ("Be kind", "Be \\u0022kind\\u0022"),
    ("Be kind", "Be \\ud800"),
    ("herons", "her\\u0000ons"),
    ('"name":', '"name": "g", "name":'),
    ("}]}", "}] }"),
]
"""Something to write in the place of something else in the text of a line."""
BYTES = [(b"herons", b"her\xffons"), (b"Be kind", b"Be \xc3"), (b'"note"', b'"not\xff"'), (b"STRING", b"STR\xe9"),
         (b": 1", b": NaN"), (b": 1", b": 01"), (b"{", b"{ \t"), (b"}", b" }")]  # fmt: skip


def numbers(chance: random.Random) -> Row:
    """Settings of their own for a row."""
    values: Row = {
        "temperature": chance.choice([0, 0.3, 1, 1.7, 2, 2.5, "0.5", "warm", True]),
        "top_p": chance.choice([0, 0.9, 1, -1]),
        "topK": chance.choice([1, 40, 40.5]),
        "seed": chance.choice([chance.randrange(10**6), -5, 1.0, 1.5, 2**31]),
        "max_output_tokens": chance.choice([chance.randint(1, 3_000), 10, 65_536, 65_537, 0, "500", 70.0]),
        "candidateCount": chance.choice([1, 2]),
        "presencePenalty": chance.choice([0, 0.0, -1, 3]),
        "stop_sequences": ["END"] * chance.randint(0, 6),
        "thinking_config": {"thinking_budget": chance.choice([0, -1, chance.randint(1, 30_000), 700, "300", None])},
        "thinkingConfig": {"thinkingLevel": chance.choice(["LOW", "MINIMAL", "NONE"])},
        "response_mime_type": chance.choice(["application/json", "text/x.enum", "text/plain"]),
        "media_resolution": "MEDIA_RESOLUTION_HIGH",
    }
    names = chance.sample(sorted(values), chance.randint(0, 5))
    usual = chance.random() < 0.7
    return {
        chance.choice(["generation_config", "generationConfig"]): {
            name: values[name] for name in names if not usual or name not in ("thinkingConfig", "candidateCount")
        }
    }


def schema(chance: random.Random, depth: int = 0) -> Row:
    """A response schema of its own."""
    kind = chance.choice(
        ["STRING", "INTEGER", "string", "OBJECT", "OBJECT", "ARRAY", "TEXT"] if depth < 3 else ["NUMBER"]
    )
    made: Row = {"type": kind}
    if chance.random() < 0.3:
        made["description"] = chance.choice(['a "word"', f"number {chance.random()}"])
    if kind == "OBJECT":
        names = chance.sample(["city", "label", "ü", 'q"', "price", "a_long_name_of_a_property"], chance.randint(0, 4))
        made["properties"] = {name: schema(chance, depth + 1) for name in names}
        if chance.random() < 0.6:
            made["required"] = [*names[:2], *(["lost"] if chance.random() < 0.1 else [])]
        if chance.random() < 0.2:
            made[chance.choice(["additionalProperties", "propertyOrdering", "x-mine"])] = False
    elif kind == "ARRAY" and chance.random() < 0.9:
        made["items"] = schema(chance, depth + 1)
    elif chance.random() < 0.4:
        made["enum"] = [f"w{chance.randrange(99)}" for _ in range(3)]
    elif chance.random() < 0.2:
        made[chance.choice(["maxLength", "min_length", "format", "$ref", "nullable"])] = chance.choice([9, "date"])
    return made


def structured(chance: random.Random) -> Row:
    """Settings with a schema."""
    name = chance.choice(["response_schema", "responseSchema", "response_json_schema", "responseJsonSchema"])
    config: Row = {"response_mime_type": chance.choice(["application/json", "application/json", "text/x.enum"])}
    if chance.random() < 0.5:
        config["max_output_tokens"] = chance.choice([5, 20, 200, 4_000])
    return {"generation_config": {**config, name: schema(chance)}}


def tooled(chance: random.Random) -> Row:
    """Tools and a system instruction of its own."""
    function: Row = {"name": "find", "description": f"Finds {chance.random()}", "parameters": schema(chance)}
    if chance.random() < 0.1:
        function["name"] = 7
    texts = [f'You are "{chance.choice(TEXTS)}" {chance.random()}', "Be kind."][: chance.randint(0, 2)]
    system: Row = {"parts": [{"text": text} for text in texts]}
    if chance.random() < 0.1:
        system["role"] = "system"
    return {"tools": [{"functionDeclarations": [function]}], "system_instruction": system}


FORMS: list[Callable[[random.Random], Row]] = [
    lambda chance: chance.choice(OTHERS), lambda chance: chance.choice(OTHERS), numbers, structured, tooled,
    lambda chance: {**tooled(chance), **numbers(chance)},
    lambda chance: {"title": f"Title {chance.random()}", "task_type": "RETRIEVAL_DOCUMENT", "outputDimensionality": 99},
    lambda chance: {"labels": {"row": str(chance.random())}},
]  # fmt: skip


def drawn(chance: random.Random, number: int) -> bytes:
    """One line of some kind."""
    if chance.random() < 0.05:
        return chance.choice(ODD)
    text = json.dumps(chance.choice(TEXTS))[1:-1]
    turns = chance.choice(TURNS[:4] if chance.random() < 0.3 else TURNS)
    turns = json.loads(json.dumps(turns, ensure_ascii=False).replace("§", text))
    held: Row = {"contents": turns} if chance.random() < 0.9 else {"content": turns[0] if turns else None}
    request = {**held, **chance.choice(FORMS)(chance)}
    if chance.random() < 0.3:
        request = dict(reversed(request.items()))
    key = f"k{number if chance.random() < 0.97 else number // 2}"
    if chance.random() < 0.05:
        key += chance.choice([' "quoted"', "ü", "\t", "é" * 150, "\u202e"])
    columns = chance.choice(BESIDE)
    row = (
        {"key": key, "request": request, **columns}
        if chance.random() < 0.7
        else {**columns, "request": request, "key": key}
    )
    separators = chance.choice([None, (",", ":"), (" , ", " : ")] if chance.random() < 0.2 else [None, (",", ":")])
    line = json.dumps(row, ensure_ascii=chance.random() < 0.5, separators=separators)
    if chance.random() < 0.1:
        old, new = chance.choice(MARKS)
        line = line.replace(old, new, 1)
    made = line.encode(errors="surrogatepass")
    if chance.random() < 0.05:
        made = made.replace(*chance.choice(BYTES), 1)
    return made


@dataclass
class Exact:
    """What reading every line exactly tells."""

    findings: Findings = field(default_factory=Findings)
    sent: bytes = b""
    extra: bytes = b""
    shapes: Counter[Shape] = field(default_factory=Counter[Shape])
    kinds: Counter[str] = field(default_factory=Counter[str])
    cutter: Cutter = field(default_factory=lambda: Cutter(Cut()))


def read_exactly(raw: bytes, model: Model) -> Line:
    """Parse a line; no local file is known."""
    line = parse(raw, model)
    unknown = Fault(
        "names a local file that is not known here", "name it in files or images of a manifest", "local-file"
    )
    return line._replace(faults=(*line.faults, unknown)) if any(named_in(raw)) else line


def exactly(lines: Sequence[bytes], model: Model, cut: Cut) -> Exact:
    """Read one line after another."""
    read, doubts, keys = Exact(cutter=Cutter(cut)), lint.Tally(), dict[str, int]()
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        line = read_exactly(raw.strip(), model)
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


def agree(source: Path, lines: Sequence[bytes], model: Model) -> Preflight:
    """Check both ways against each other."""
    source.write_bytes(b"\n".join(lines) + b"\n")
    cut, copy, extras = Cut(bytes=5_000), io.BytesIO(), io.BytesIO()
    read = exactly(lines, model, cut)
    found = Preflight(source, model, cut).run(copy, extras)
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
        line = read_exactly(raw.strip() or b"{", model)
        if not line.faults:
            kept.setdefault(line.key, raw)
    return list(kept.values())


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample, and so recognise rows, in small sources too."""
    monkeypatch.setattr(token_sample, "SMALL", 1)


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
    assume(not b"\n".join(lines).lstrip().startswith(b"["))
    agree(tmp_path / "a.jsonl", lines, model)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sound", [True, False])
def test_of_many_rows_all_verdicts_are_those_of_the_exact_reader_and_few_good_ones_are_read_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sound: bool
) -> None:
    model, chance = find(name, DAY), random.Random(5)  # noqa: S311 - a test repeats itself
    lines = [drawn(chance, number) for number in range(12_000 if name in (MODELS[0], MODELS[-1]) else 3_000)]
    if sound:
        lines = good(lines, model)
    parsed: list[bytes] = []

    def watched(raw: bytes, of: Model) -> Line:
        parsed.append(raw)
        return parse(raw, of)

    monkeypatch.setattr(scanner, "parse", watched)
    found = agree(tmp_path / "a.jsonl", lines, model)
    assert not sound or len(parsed) < found.requests / 20


def test_tokens_by_kind_of_a_large_source_lie_within_what_the_sample_leaves_unsure(tmp_path: Path) -> None:
    model, chance = find(MODELS[0], DAY), random.Random(6)  # noqa: S311 - a test repeats itself
    lines = good([drawn(chance, number) for number in range(12_000)], model)
    read = exactly(lines, model, Cut())
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    short = Preflight(tmp_path / "a.jsonl", model, None).run().short
    whole = read.kinds.total()
    assert 0 < short.unsure < 0.05
    assert short.input == pytest.approx(whole, rel=short.unsure)
    for kind, count in read.kinds.items():
        assert short.by_kind[kind] == pytest.approx(count, abs=0.03 * whole)
