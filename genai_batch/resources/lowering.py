"""Which setting would lower the most that a job can cost, and by how much."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from genai_batch.resources.answers import dollars
from genai_batch.resources.estimates import Bill
from genai_batch.resources.shapes import Shape
from genai_batch.resources.tally import Tier
from genai_batch.resources.tokens.coefficients import coefficients

FAR = 3
"""How many times the likely cost a bound is from which it is far above it."""
_STEPS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
_ROOM = 2
"""How many times the likely answer a suggested limit leaves room for, where that fits."""
_CLIP_S = 600


class Setting(NamedTuple):
    """A setting as one would write it, and what the job could then cost at most, in USD."""

    text: str
    most: float


def best_setting(bill: Bill, limit: float | None) -> str | None:
    """Name the setting that lowers the bound most, where the bound is far above the likely cost or above the limit."""
    bound = bill.bound().usd
    if bound <= FAR * bill.cost.likely and (limit is None or bound <= limit):
        return None
    best = min(_settings(bill, limit), key=lambda setting: setting.most, default=None)
    if best is None or best.most >= 0.95 * bound:
        return None
    return f"{best.text} would make it at most {dollars(best.most)}"


def with_limit(shape: Shape, limit: int) -> Shape:
    """The shape of a row once it has `max_output_tokens`, unless it has that already."""
    return shape if shape.bound else shape._replace(bound=limit)


def _settings(bill: Bill, limit: float | None) -> Iterator[Setting]:
    tiers = (bill.found.short, bill.found.long)
    shapes = [shape for tier in tiers for shape, rows in tier.shapes.items() if rows > 0]
    if bill.found.model.kind != "embedding" and any(not shape.bound and shape.media != "AUDIO" for shape in shapes):
        yield _output_limit(bill, limit)
    for tool in sorted({tool for shape in shapes for tool in shape.tools}):
        yield Setting(f"leaving {tool} out", bill.bound(lambda tier, tool=tool: _without(tier, tool)).usd)
    if any(tier.kinds.get("unseen") for tier in tiers):
        text = f'video_metadata: {{end_offset: "{_CLIP_S}s"}}'
        yield Setting(text, bill.bound(_clipped).usd)


def _output_limit(bill: Bill, limit: float | None) -> Setting:
    """The largest `max_output_tokens` that keeps to the limit, or else one with some room for the likely answer."""
    likely = bill.output.likely / max(bill.found.requests, 1)
    wide = [step for step in _STEPS if step >= likely] or [_STEPS[-1]]
    if limit is not None:
        for step in reversed(wide):
            if (most := _most_at(bill, step)) <= limit:
                return Setting(f"max_output_tokens: {step}", most)
        return Setting(f"max_output_tokens: {wide[0]}", _most_at(bill, wide[0]))
    roomy = next((step for step in wide if step >= _ROOM * likely), wide[-1])
    return Setting(f"max_output_tokens: {roomy}", _most_at(bill, roomy))


def _most_at(bill: Bill, limit: int) -> float:
    return bill.bound(lambda tier: _reshaped(tier, {shape: with_limit(shape, limit) for shape in tier.shapes})).usd


def _without(tier: Tier, tool: str) -> Tier:
    return _reshaped(tier, {shape: shape._replace(tools=shape.tools - {tool}) for shape in tier.shapes})


def _clipped(tier: Tier) -> Tier:
    """The same with every film of unknown length cut."""
    film = tier.kinds.get("unseen", 0)
    longest = coefficients()["bound"]["unseen"]["unseen"] * coefficients()["media"]["video_seconds"]
    kinds = {**tier.kinds, "unseen": film * _CLIP_S / longest}
    counted = sum(tier.kinds.values())
    return replace(tier, kinds=kinds, input=tier.input * sum(kinds.values()) / counted) if counted else tier


def _reshaped(tier: Tier, shapes: dict[Shape, Shape]) -> Tier:
    """The same rows, set otherwise."""
    counts: dict[Shape, float] = {}
    for before, after in shapes.items():
        counts[after] = counts.get(after, 0) + tier.shapes[before]
    return replace(tier, shapes=counts)
