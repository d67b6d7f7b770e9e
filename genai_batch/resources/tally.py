"""What the rows of a job add up to, in everything that its price depends on."""

from dataclasses import dataclass, field
from typing import Any

from genai_batch.resources.models import Model
from genai_batch.resources.shapes import Shape, shape_of
from genai_batch.resources.tiers import LONG
from genai_batch.resources.tokens.bound import has_unseen, largest_row
from genai_batch.resources.tokens.counting import by_kind

MOST_SHAPES = 1_000
"""Shapes told apart; of a file with more, rows of a new shape count as the nearest round bound."""


@dataclass
class Tier:
    """Sums over the rows that share one price. All are floats, so that a sample may stand for the whole.

    A reader may `take` every request; or `add` runs of rows of one shape whose tokens it knows, and `sample` the kinds
    of some of them: only the proportions of the kinds are used.
    """

    rows: float = 0
    input: float = 0
    shapes: dict[Shape, float] = field(default_factory=dict[Shape, float])
    kinds: dict[str, float] = field(default_factory=dict[str, float])
    sampled: float = 0
    squares: float = 0
    unsure: float = 0
    """Share by which the sums may be off because only a sample was counted."""
    near_rows: float = 0
    """Rows that may have more than `LONG` tokens, as far as counts may be off, and `near_input`, their tokens then."""
    near_input: float = 0
    structured: bool = False
    """Whether any row asks for an answer in a form: by a schema or a MIME type."""

    def take(self, request: dict[str, Any], model: Model, weight: float = 1) -> float:
        """Count one request `weight` times; its input tokens."""
        kinds = by_kind(request, model)
        size = sum(kinds.values())
        self.add(weight, weight * size, shape_of(request, model))
        self.sample(kinds, weight)
        return size

    def add(self, rows: float, tokens: float, shape: Shape) -> None:
        """Add rows of one shape and their input tokens; negative numbers take them out again."""
        self.rows += rows
        self.input += tokens
        self.structured = self.structured or shape.answer is not None
        if len(self.shapes) >= MOST_SHAPES and shape not in self.shapes:
            shape = _round(shape)
        self.shapes[shape] = self.shapes.get(shape, 0) + rows

    def sample(self, kinds: dict[str, float], weight: float = 1, others: float = 0) -> None:
        """Tell of what kinds the tokens of a row are; it has `others` that are told apart."""
        self.sampled += weight
        self.squares += weight * (sum(kinds.values()) + others) ** 2
        self.note_near(kinds, weight, others)
        sums = self.kinds
        for kind, count in kinds.items():
            sums[kind] = sums.get(kind, 0) + weight * count

    def note_near(self, kinds: dict[str, float], rows: float = 1, others: float = 0) -> None:
        """Count rows that may lie above the step in the price, as far as counts may be off."""
        size = sum(kinds.values()) + others
        if (size > LONG / 6 or has_unseen(kinds)) and (largest := largest_row(kinds) + others) > LONG:
            self.near_rows += rows
            self.near_input += rows * largest

    @property
    def by_kind(self) -> dict[str, float]:
        """All input tokens in the proportions of the sample; without one they are taken for prose."""
        counted = sum(self.kinds.values())
        if not counted:
            return {"latin": self.input} if self.input else {}
        return {kind: count * self.input / counted for kind, count in self.kinds.items()}

    @property
    def evened(self) -> float:
        """By how much errors of single rows even out: 1 for one row, 1/√n for n equal ones."""
        if not self.rows:
            return 0
        counted = sum(self.kinds.values())
        spread = self.sampled * self.squares / counted**2 if counted else 1
        return (spread / self.rows) ** 0.5


def _round(shape: Shape) -> Shape:
    """Keep what is charged and let the sizes go to their next power of two."""
    bound = shape.bound and 1 << (shape.bound - 1).bit_length()
    return shape._replace(bound=bound, answer=None if bound else shape.answer, thinking=None)
