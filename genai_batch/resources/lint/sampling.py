"""Numbers in `generation_config`: how long an answer may be and how it is drawn."""

from collections.abc import Iterator, Mapping
from typing import Any

from genai_batch.resources.lint.fault import Fault, doubt, fault
from genai_batch.resources.models import Model
from genai_batch.resources.untyped import is_list, kind_of, number_in

_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2), "top_p": (0, 1), "top_k": (0, 10**6), "candidate_count": (1, 8), "logprobs": (0, 20),
    "max_output_tokens": (1, 2**31 - 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2),
    "seed": (-(2**31), 2**31 - 1),
}  # fmt: skip
_WHOLE = frozenset({"candidate_count", "logprobs", "max_output_tokens", "seed"})
_STOPS = 5
"""Stop sequences that one request may have."""


def numbers(settings: dict[str, Any]) -> Iterator[Fault]:
    """Judge the type and range of every number."""
    for name, (least, most) in _RANGES.items():
        if (value := settings.get(name)) is None:
            continue
        if (number := number_in(value)) is None:
            yield fault("not-a-number", f"{name} is {kind_of(value)}", "use a number")
        elif not least <= number <= most:
            yield fault("out-of-range", f"{name} is {value}", f"use {least:,} to {most:,}")
        elif name in _WHOLE and number != int(number):
            yield fault("out-of-range", f"{name} is {value}", "use a whole number")


def stops(settings: dict[str, Any]) -> Iterator[Fault]:
    """Judge `stop_sequences`."""
    found = settings.get("stop_sequences")
    if found is None:
        return
    if not is_list(found):
        yield fault("stop-shape", f"stop_sequences is {kind_of(found)}", "make it a list of strings")
    elif len(found) > _STOPS:
        yield fault("stop-count", f"has {len(found)} stop_sequences", f"at most {_STOPS} are taken")


def drawn(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    """Judge settings that a model no longer takes, or bills."""
    given = [name for name in ("temperature", "top_p", "top_k") if settings.get(name) is not None]
    if given and model.fixed_sampling:
        said = f"{model.name} ignores {', '.join(given)}; models to come will refuse it"
        yield doubt("sampling-ignored", said, "remove it")
    elif given and model.era >= 3 and model.kind == "text" and given != ["temperature"]:
        said = f"{', '.join(given)}: models of this generation are tuned for their defaults"
        yield doubt("sampling-unwise", said, "remove it")
    elif model.era >= 3 and model.kind == "text" and (number_in(settings.get("temperature", 1)) or 0) < 1:
        said = "a temperature below 1 makes models of this generation repeat themselves"
        yield doubt("sampling-unwise", said, "remove it")
    yield from _rare(settings, model)


def _rare(settings: dict[str, Any], model: Model) -> Iterator[Fault]:
    if (number_in(settings.get("candidate_count")) or 1) > 1:
        said, fix = f"{model.name} takes one candidate", "send the prompt several times under keys of their own"
        if model.kind != "text":
            yield fault("candidates-media", said, fix)
        else:
            billed = f"candidate_count is {settings['candidate_count']}: every candidate is billed"
            yield doubt("candidates", said if model.fixed_sampling else billed, fix)
    if any(number_in(settings.get(name)) for name in ("presence_penalty", "frequency_penalty")):
        yield doubt("penalty", f"{model.name} may refuse presence_penalty and frequency_penalty", "remove them")
    if settings.get("logprobs") is not None and not settings.get("response_logprobs"):
        yield fault("logprobs", "logprobs without response_logprobs", 'add "response_logprobs": true')
