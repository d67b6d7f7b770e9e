"""How much a model may think, and what that leaves for its answer."""

from collections.abc import Iterator
from typing import Any

from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.lint.fields import THINKING, named, unknown
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import as_object, is_object, kind_of, number_in

_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_RARE = "XHIGH"
EATEN = "output-eaten"
_ROOM = 1_000
"""Tokens below which an answer that is thought about is often cut."""


def thinking(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge `thinking_config` against the generation of the model."""
    if (config := settings.get("thinking_config")) is None:
        return
    if not is_object(config):
        yield fault("thinking-shape", f"thinking_config is {kind_of(config)}", 'write {"thinking_level": "LOW"}')
        return
    yield from unknown(config, THINKING, "thinking_config")
    given = named(config)
    level, budget = given.get("thinking_level"), given.get("thinking_budget")
    if level is not None and budget is not None:
        keep = "thinking_level" if model.era >= 3 else "thinking_budget"
        yield fault("thinking-both", "thinking_level and thinking_budget exclude each other", f"keep {keep}")
        return
    if level is not None:
        yield from _level(str(level).upper(), model)
    if budget is not None:
        yield from _budget(number_in(budget), model)


def _level(level: str, model: Model) -> Iterator[Fault]:
    levels = model.levels or _LEVELS
    fix = f"use {', '.join(levels)}"
    if model.era < 3:
        fix = "use thinking_budget" if model.budget else "remove it"
        yield fault("thinking-level-old", f"{model.name} knows no thinking_level", fix)
    elif level not in (*_LEVELS, _RARE, "THINKING_LEVEL_UNSPECIFIED"):
        yield fault("thinking-level", f"there is no thinking_level {level[:20]!r}", fix)
    elif level in (*_LEVELS, _RARE) and level not in levels:
        yield doubt("thinking-level", f"{model.name} may have no thinking_level {level}", fix)


def _budget(budget: float | None, model: Model) -> Iterator[Fault]:
    if budget is None:
        yield fault("thinking-budget", "thinking_budget is no number", "use a number of tokens, or -1")
    elif model.era >= 3:
        said = f"{model.name} is steered by thinking_level; a thinking_budget is taken for old times' sake only"
        off = " and cannot switch thinking off" if budget == 0 else ""
        yield doubt("thinking-budget-old", said + off, f"use thinking_level: {', '.join(model.levels or _LEVELS)}")
    elif model.budget and not _fits(budget, model):
        least, most = model.budget
        off = ", or 0 for none" if model.can_rest else ""
        fix = f"use {least:,} to {most:,}, -1 to leave it to the model{off}"
        yield fault("thinking-budget", f"thinking_budget of {model.name} is {budget:,.0f}", fix)


def _fits(budget: float, model: Model) -> bool:
    least, most = model.budget or (0, 0)
    return budget == -1 or (budget == 0 and model.can_rest) or least <= budget <= most


def room(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge whether `max_output_tokens` is there and leaves room beside thinking."""
    if model.kind != "text":
        return
    if (most := settings.get("max_output_tokens")) is None:
        said = f"max_output_tokens is not set: an answer may run to {model.most_output:,} tokens, and the price with it"
        yield doubt(
            "output-unbounded", said, 'add "max_output_tokens" to generation_config; thinking counts against it'
        )
        return
    given = number_in(most) or 0
    thought = thought_tokens(settings, model)
    if given > model.most_output:
        yield doubt("output-over", f"max_output_tokens is {most}", f"{model.name} writes {model.most_output:,} at most")
    elif thought >= given > 0:
        yield eaten(given)


def eaten(most: float) -> Fault:
    """Doubt that an answer has room beside thinking."""
    said = f"max_output_tokens ({most:,.0f}) can be used up by thinking alone, and the answer is cut"
    return doubt(EATEN, said, "raise it, or lower the thinking")


def thought_tokens(settings: dict[str, Any], model: Model) -> float:
    """Tokens that thinking may well take."""
    given = named(as_object(settings.get("thinking_config")))
    budget = number_in(given.get("thinking_budget"))
    if budget is not None and budget >= 0:
        return budget
    if not model.thinks and budget is None:
        return 0
    return 0 if str(given.get("thinking_level")).upper() == "MINIMAL" else _ROOM - 1
