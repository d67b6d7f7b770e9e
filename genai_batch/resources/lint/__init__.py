"""What is wrong with one request, before Google says so.

A request is a GenerateContentRequest as JSON (for an embedding model an EmbedContentRequest). protobuf JSON takes
snake_case and camelCase, but never both for one field, and refuses a field it does not know.

Rules come in two groups. `settings` looks at everything but the turns: rows of a job mostly share that, so its verdict
can be kept and used again. `turns` looks at `contents` (or `content`). A rule is a generator of faults in the module of
its subject.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from genai_batch.resources.lint import making, placing, sampling, schema, thinking, tiering, tooling
from genai_batch.resources.lint import turns as _turns
from genai_batch.resources.lint.fault import CLEAN, Fault, Tally, Told, Verdict, verdict
from genai_batch.resources.lint.fields import EMBEDDING, GENERATION, MISPLACED, REQUEST, named, snake
from genai_batch.resources.lint.shape import MAX_DEPTH, Shape, clash, shape
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import is_object

__all__ = [
    "CLEAN", "EMBEDDING", "GENERATION", "MAX_DEPTH", "MISPLACED", "REQUEST", "Fault", "Shape", "Tally", "Told",
    "Verdict", "clash", "doubts", "faults", "judge", "settings", "shape", "snake", "turns", "verdict",
]  # fmt: skip
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
_REMEMBERED = 8_192
"""Bytes of a request without its contents up to which the verdict on it is kept."""
_SAID = frozenset({"contents", "content"})


def settings(request: dict[str, Any], model: Model) -> Verdict:
    """Judge everything but the turns: depends on the model and on nothing of the request but its other members.

    Rows mostly share these, so a verdict is kept and found again by them.
    """
    encoded = _encode({name: None if name in _SAID else value for name, value in request.items()})
    if len(encoded) > _REMEMBERED:
        return verdict(_settings(request, model))
    return _settled(encoded, model)


@lru_cache(512)
def _settled(encoded: bytes, model: Model) -> Verdict:
    return verdict(_settings(_decode(encoded), model))


def turns(request: dict[str, Any], model: Model) -> Verdict:
    """Judge the turns: depends on the model and on `contents`, for an embedding model on `content` alone."""
    rule = _turns.embedded if model.kind == "embedding" else _turns.conversation
    return verdict(rule(request, model))


def judge(request: dict[str, Any], model: Model) -> Verdict:
    """Judge all of a request."""
    settled, said = settings(request, model), turns(request, model)
    return Verdict(settled.faults + said.faults, settled.doubts + said.doubts)


def faults(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Find everything that keeps a decoded request from being sent."""
    yield from judge(request, model).faults


def doubts(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Find everything in a decoded request that may fail, disappoint or cost more than expected."""
    yield from judge(request, model).doubts


def _settings(request: dict[str, Any], model: Model) -> Iterator[Fault]:
    given = named(request)
    yield from placing.in_request(request, model)
    if model.kind == "embedding":
        yield from making.vectors(given)
        return
    yield from placing.system(given.get("system_instruction"))
    yield from tooling.tools(given, model)
    yield from tooling.cache(given)
    yield from tooling.safety(given)
    yield from tiering.tier(given, model)
    yield from making.spoken(given, model)
    yield from _generation({} if (config := given.get("generation_config")) is None else config, model)


def _generation(given: Any, model: Model) -> Iterator[Fault]:
    yield from placing.in_settings(given)
    config = named(given) if is_object(given) else {}
    yield from sampling.numbers(config)
    yield from sampling.stops(config)
    yield from sampling.drawn(config, model)
    yield from thinking.thinking(config, model)
    yield from thinking.room(config, model)
    yield from schema.structured(config, model)
    yield from making.modalities(config, model)
    yield from making.speech(config, model)
    yield from making.pictures(config, model)
