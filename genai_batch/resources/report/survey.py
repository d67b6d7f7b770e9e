"""What one pass over the index tells of all rows: how they ended, how their tokens are spread; and a sample of them."""

from random import Random

from genai_batch.resources.jobs import Outcome
from genai_batch.resources.outcomes import Tokens
from genai_batch.resources.report.spread import Spread
from genai_batch.resources.results import Entry, Results
from genai_batch.resources.results_index.query import Columns

SAMPLE = 400
"""Rows that are drawn to be read; every row has the same chance."""


class Totals:
    """How the rows that came back and answer a request have ended, and their tokens; what is missing is not in them."""

    def __init__(self, results: Results) -> None:
        """Read the totals of the index."""
        totals = [total for total in results.totals if total.outcome != "missing"]
        self.ends: dict[tuple[Outcome, str | None], int] = {
            (total.outcome, total.error): total.rows for total in totals
        }
        self.usage = Tokens(
            input_tokens=sum(total.input for total in totals),
            output_tokens=sum(total.output for total in totals),
            thinking_tokens=sum(total.thinking for total in totals) or None,
            cached_tokens=sum(total.cached for total in totals) or None,
        )


class Survey(Totals):
    """The same, and how their tokens and sizes are spread."""

    def __init__(self, results: Results) -> None:
        """Read the index once, from its first row to its last."""
        super().__init__(results)
        self.input, self.output, self.thinking, self.bytes = Spread(), Spread(), Spread(), Spread()
        for columns in results.columns():
            self._add(columns)

    def _add(self, columns: Columns) -> None:
        """Count some rows; one that failed has no tokens, which says nothing of the others."""
        self.bytes.add(columns.length)
        asked, written, thought = columns.input, columns.output, columns.thinking
        if not (all(asked) and all(written)):
            rows = [row for row in zip(asked, written, thought, strict=True) if row[0] or row[1]]
            asked, written, thought = zip(*rows, strict=True) if rows else ((), (), ())
        self.input.add(asked)
        self.output.add([max(0, both - part) for both, part in zip(written, thought, strict=True)])
        self.thinking.add(thought)


def sample(results: Results) -> list[Entry]:
    """Draw rows, always the same ones of the same job, in no order: where room runs out, it does so anywhere."""
    count = sum(results.counts.values()) + results.job.row_count - results.job.requests
    dice = Random(results.job.id)  # noqa: S311 - a repeatable draw, no secret
    numbers = dice.sample(range(count), min(SAMPLE, count))
    return [entry for number in numbers for entry in results.page(None, number, 1)]
