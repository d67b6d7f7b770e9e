"""What one pass over the index tells of all rows: how they ended, how their tokens are spread; and a sample of them."""

from collections import Counter
from random import Random

from genai_batch.resources.jobs import Outcome
from genai_batch.resources.outcomes import Tokens
from genai_batch.resources.report.spread import Spread
from genai_batch.resources.results import Entry, Results
from genai_batch.resources.results_index.index import Columns

SAMPLE = 400
"""Rows that are drawn to be read; every row has the same chance."""


class Totals:
    """How the rows that came back and answer a request have ended, and their tokens; what is missing is not in them."""

    def __init__(self, results: Results) -> None:
        """Read the index once, from its first row to its last."""
        self.ends: Counter[tuple[Outcome, str | None]] = Counter()
        self._given = self._made = self._thinking = self._cached = 0
        for columns in results.columns():
            self.add(columns)

    def add(self, columns: Columns) -> None:
        """Count some rows."""
        self.ends.update(columns.ends)
        self._given += sum(columns.input)
        self._made += sum(columns.output)
        self._thinking += sum(columns.thinking)
        self._cached += sum(columns.cached)

    @property
    def usage(self) -> Tokens:
        """Tokens of all of them."""
        thinking, cached = self._thinking or None, self._cached or None
        return Tokens(
            input_tokens=self._given, output_tokens=self._made, thinking_tokens=thinking, cached_tokens=cached
        )


class Survey(Totals):
    """The same, and how their tokens and sizes are spread."""

    def __init__(self, results: Results) -> None:
        """Read the index once, from its first row to its last."""
        self.input, self.output, self.thinking, self.bytes = Spread(), Spread(), Spread(), Spread()
        super().__init__(results)

    def add(self, columns: Columns) -> None:
        """Count some rows; one that failed has no tokens, which says nothing of the others."""
        super().add(columns)
        self.bytes.add(columns.length)
        given, made, thinking = columns.input, columns.output, columns.thinking
        if not (all(given) and all(made)):
            rows = [row for row in zip(given, made, thinking, strict=True) if row[0] or row[1]]
            given, made, thinking = zip(*rows, strict=True) if rows else ((), (), ())
        self.input.add(given)
        self.output.add([max(0, both - thought) for both, thought in zip(made, thinking, strict=True)])
        self.thinking.add(thinking)


def sample(results: Results) -> list[Entry]:
    """Draw rows, always the same ones of the same job, in no order: where room runs out, it does so anywhere."""
    count = sum(results.counts.values())
    dice = Random(results.job.id)  # noqa: S311 - a repeatable draw, no secret
    numbers = dice.sample(range(count), min(SAMPLE, count))
    return [entry for number in numbers for entry in results.page(None, number, 1)]
