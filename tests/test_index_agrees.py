"""Rows read through types mean what they mean when they are read exactly; what no type fits is read exactly."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from genai_batch.resources import charges, outcomes
from genai_batch.resources.lines import MAX_KEY
from genai_batch.resources.models import Model
from genai_batch.resources.prices import Usage
from genai_batch.resources.results_index.decode import Facts, read_common, read_plain, read_row
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object

TEXT = {"parts": [{"text": "Fine."}], "role": "model"}
THOUGHT = {"parts": [{"text": "Hm.", "thought": True}, {"text": "Fine.", "thoughtSignature": "x"}]}
PICTURE = {"parts": [{"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": "aGVs"}}]}
CALL = {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}
DETAILS = [[{"modality": kind, "tokenCount": 5}] for kind in ("TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT")]
USAGE = {
    "promptTokenCount": 12, "candidatesTokenCount": 30, "thoughtsTokenCount": 210, "totalTokenCount": 252,
    "cachedContentTokenCount": 8, "toolUsePromptTokenCount": 5, "serviceTier": "STANDARD",
}  # fmt: skip
REASONS = ("STOP", "MAX_TOKENS", "SAFETY", "NO_IMAGE", "OTHER", "MALFORMED_FUNCTION_CALL", "a\x1bb")
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 250_000, 2**40, 10**30, 1.5, "", " ", "0", "12", "TEXT", "STOP", "x" * 300,
    "é", "\ud800", [], {}, [{}], [[]], {"a": 1}, {"values": [1]}, {"values": []}, [{"text": "Hi."}], [{"text": ""}],
    [None], {"code": 3}, {"code": "3", "message": "No."}, {"code": True}, {"message": "No."}, {"blockReason": "SAFETY"},
    {"webSearchQueries": ["a", "b"]}, [{"modality": "IMAGE", "tokenCount": "9"}], {"data": "aGVs"}, {"data": ""},
    {"data": "%%%"}, {"data": "a"}, {"data": "/9j/"},
    {"key": "inner"}, {"parts": [{"text": "Hi."}]},
)  # fmt: skip
NAMES = (
    "key", "metadata", "error", "status", "service_tier", "asked_tier", "response", "candidates", "content", "parts",
    "text", "thought", "inlineData",
    "inline_data", "finishReason", "groundingMetadata", "grounding_metadata", "usageMetadata", "promptTokensDetails",
    "candidatesTokensDetails", "modality", "tokenCount", "promptFeedback", "embedding", "code", "other", *USAGE,
)  # fmt: skip


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row of a shape that comes back."""
    usage: dict[str, Any] = {name: USAGE[name] for name in draw(st.lists(st.sampled_from(sorted(USAGE)), unique=True))}
    for name in draw(st.lists(st.sampled_from(["promptTokensDetails", "candidatesTokensDetails"]), unique=True)):
        usage[name] = draw(st.sampled_from(DETAILS))
    content = draw(st.sampled_from([TEXT, TEXT, TEXT, THOUGHT, PICTURE, CALL, {}]))
    candidate = {"content": content, "finishReason": draw(st.sampled_from(("STOP", "STOP", *REASONS))), "index": 0}
    response = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m"}
    vector = {"tokenCount": "3", "embedding": {"values": [0.5, -1, 2e-3]}}
    failed = {"error": {"code": 13, "message": "No."}}
    rest = draw(st.sampled_from([{"response": response}] * 4 + [failed, {"response": vector}]))
    return json.loads(json.dumps({"key": "k", **rest}))


def places(value: Any) -> list[Any]:
    """Every object and list within a value."""
    if not is_object(value) and not is_list(value):
        return []
    inner = list(value.values()) if is_object(value) else as_list(value)
    return [value, *(each for item in inner for each in places(item))]


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A row with up to three things changed in it, as bytes that may be torn."""
    row = draw(rows())
    for _ in range(draw(st.integers(0, 3))):
        place: Any = draw(st.sampled_from(places(row)))
        odd = json.loads(json.dumps(draw(st.sampled_from(ODD))))
        if is_object(place):
            names: list[str] = [*place] * 3 + [*NAMES]
            place[draw(st.sampled_from(names))] = odd
        elif place and draw(st.booleans()):
            place[0] = odd
        else:
            place.insert(0, odd)
    spaced = (", ", ": ") if draw(st.booleans()) else (",", ":")
    line = json.dumps(row, separators=spaced, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    how = draw(st.sampled_from(["whole"] * 8 + ["cut", "byte"]))
    at = draw(st.integers(0, len(line) - 1)) if how != "whole" else 0
    torn = {"whole": line, "cut": line[:at], "byte": line[:at] + b"\xff" + line[at + 1 :]}[how]
    return torn + b"\n"


def exactly(line: bytes) -> Facts | None:
    """What the exact reader makes of a row that has a key."""
    if (row := read_row(line)) is None:
        return None
    verdict = outcomes.judge(row)
    response = as_object(row.get("response"))
    error = outcomes.error(row, verdict)
    assert not charges.of_response(response, Model(name="gemini-3.8-flash")), "a row with a fee is read exactly"
    return Facts(
        verdict.key or "", verdict.outcome, verdict.finish_reason, str(error.code) if error else None,
        verdict.usage, verdict.thinking, bool(outcomes.media(response)), tiers=outcomes.tiers(row),
    )  # fmt: skip


@settings(max_examples=1_500)
@given(lines())
def test_what_is_read_through_types_is_what_is_read_exactly(line: bytes) -> None:
    if seen := read_common(line):
        assert _named(seen) == exactly(line), line
    found, odd = read_plain([b"{}", line, b"\xff"])
    assert odd == ([0, 2] if found else [0, 1, 2])
    for row in found:
        use = row.response.usage_metadata
        written = use.candidates_token_count + use.thoughts_token_count
        usage = Usage(use.prompt_token_count, written, use.cached_content_token_count)
        seen = Facts(row.key, "ok", "STOP", None, usage, use.thoughts_token_count, media=False)
        tiers = row.asked_tier, row.service_tier or use.service_tier
        assert _named(seen._replace(tiers=tiers)) == exactly(line), line


def _named(seen: Facts) -> Facts:
    """With a key that is too long left out, as whoever reads through types does."""
    return seen if len(seen.key.encode()) <= MAX_KEY else seen._replace(key="")


def test_the_common_rows_are_read_through_types() -> None:
    """Otherwise every job is read at a tenth of the speed, and nothing else tells."""
    candidate: dict[str, Any] = {"content": TEXT, "finishReason": "STOP", "index": 0}
    row: dict[str, Any] = {"key": "k", "response": {"candidates": [candidate]}}
    row["response"]["usageMetadata"] = {"promptTokenCount": 3, "promptTokensDetails": DETAILS[0]}
    assert read_plain([json.dumps(row).encode()])[1] == []
    for content in (THOUGHT, PICTURE):
        candidate["content"] = content
        assert read_common(json.dumps(row).encode())
    assert read_common(b'{"key":"k","error":{"code":13,"message":"No."}}')
    assert read_common(b'{"key":"k","response":{"tokenCount":"3","embedding":{"values":[0.5]}}}')
