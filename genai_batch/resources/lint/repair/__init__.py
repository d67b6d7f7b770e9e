"""Mend what can only have been meant one way.

Each function changes a decoded line in place and yields what it did, in words. What is only likely is left for its
owner: a misspelt name, two settings that contradict each other, a link that does not open.
"""

from typing import Any

from genai_batch.resources.lint.fields import snake
from genai_batch.resources.lint.repair import foreign, places, settings, turns, vectors
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import is_object

_ROUNDS = 4
"""One repair can uncover the next: a setting that is moved may be misspelt."""


def mend(line: dict[str, Any], model: Model) -> list[str]:
    """Change a line where the correction is certain, and tell what was changed."""
    done = _converted(line, model)
    for _ in range(_ROUNDS):
        now = list(_once(line, model))
        done += now
        if not now:
            break
    return done


def _converted(line: dict[str, Any], model: Model) -> list[str]:
    """Write a line of another API as one of ours, where it becomes one request."""
    source = foreign.foreign(line)
    if source is None or (source.call == "embeddings") != (model.kind == "embedding"):
        return []
    try:
        requests, left = foreign.convert(line)
    except foreign.Unconvertible:
        return []
    if len(requests) != 1:
        return []
    key, columns = line.get("custom_id"), foreign.columns_beside(line)
    line.clear()
    line.update({"key": key, "request": requests[0], **columns})
    without = f"; left out what Gemini has no counterpart for: {', '.join(left)}" if left else ""
    return [f"converted from {source.api}'s format{without}"]


def _once(line: dict[str, Any], model: Model) -> list[str]:
    done = [*places.key(line), *places.spellings(line), *places.beside_request(line, model)]
    if not is_object(request := line.get("request")):
        return done
    if model.kind == "embedding":
        return [*done, *vectors.embedding(request)]
    done += [*places.config(request), *places.beside_contents(request), *places.inside_settings(request)]
    done += [*turns.system(request), *turns.contents(request), *settings.tools(request)]
    for name in [name for name in request if snake(name) == "generation_config"]:
        if is_object(request[name]):
            done += settings.generation(request[name], model)
    return [*done, *settings.speaks(request, model)]
