"""Mend what can only have been meant one way.

Each function changes a decoded line in place and yields what it did, in words. What is only likely is left for its
owner: a misspelt name, two settings that contradict each other, a link that does not open.
"""

from typing import Any

from genai_batch.resources.lint.fields import snake
from genai_batch.resources.lint.repair import places, settings, turns
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import is_object

_ROUNDS = 4
"""One repair can uncover the next: a setting that is moved may be misspelt."""


def mend(line: dict[str, Any], model: Model) -> list[str]:
    """Change a line where the correction is certain, and tell what was changed."""
    done: list[str] = []
    for _ in range(_ROUNDS):
        now = list(_once(line, model))
        done += now
        if not now:
            break
    return done


def _once(line: dict[str, Any], model: Model) -> list[str]:
    done = [*places.key(line), *places.spellings(line), *places.beside_request(line, model)]
    if not is_object(request := line.get("request")):
        return done
    if model.kind == "embedding":
        return [*done, *turns.one_content(request)]
    done += [*places.config(request), *places.beside_contents(request), *places.inside_settings(request)]
    done += [*turns.system(request), *turns.contents(request), *settings.tools(request)]
    for name in [name for name in request if snake(name) == "generation_config"]:
        if is_object(request[name]):
            done += settings.generation(request[name], model)
    return [*done, *settings.speaks(request, model)]
