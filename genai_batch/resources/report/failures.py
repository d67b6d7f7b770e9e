"""The failures of a job by class: what has the same outcome and the same code happened for the same reason."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from genai_batch.resources.jobs import OUTCOMES, Outcome
from genai_batch.resources.outcomes import MISSING
from genai_batch.resources.results import Entry, Result, Results

EXAMPLES = 2
"""Rows of a class that are shown."""
_SEARCHED, _CLASSES = 5_000, 100
"""Rows of an outcome that are searched for examples, and classes of it that get some."""
_PAGE = 500
End = tuple[Outcome, str]
"""Outcome and code."""
Ends = Mapping[tuple[Outcome, str | None], int]
"""Rows by both."""


class Kind(NamedTuple):
    """Failures of one class. Without an example it is not known whether they may succeed when sent again."""

    outcome: Outcome
    code: str
    retryable: bool | None
    rows: int
    examples: list[Result]


def failures(results: Results, ends: Ends) -> list[Kind]:
    """Tell the failures of a job apart, the largest class first; a bounded number of rows is read."""
    found = Counter[End]()
    for (outcome, code), rows in ends.items():
        if outcome != "ok":
            found[outcome, code or outcome] += rows
    if missing := results.counts.get("missing"):
        found["missing", str(MISSING.code)] = missing
    examples: dict[End, list[Entry]] = {}
    for outcome in OUTCOMES[1:]:
        _look(results, outcome, [end for end, _ in found.most_common() if end[0] == outcome][:_CLASSES], examples)
    order = sorted(found, key=lambda end: (-found[end], OUTCOMES.index(end[0]), end[1]))
    return [_kind(results, *end, found[end], examples.get(end, [])) for end in order]


def _look(results: Results, outcome: Outcome, wanted: list[End], examples: dict[End, list[Entry]]) -> None:
    """Find the first rows of each wanted class of an outcome."""
    left, after = set(wanted), 0
    for _ in range(0, _SEARCHED, _PAGE):
        page = results.page(outcome, after, _PAGE) if left else []
        for entry in page:
            end: End = (outcome, str(MISSING.code) if outcome == "missing" else entry.error or outcome)
            if end in left and entry.sent_as is None:
                known = examples.setdefault(end, [])
                known.append(entry)
                left -= {end} if len(known) == EXAMPLES else set()
        if len(page) < _PAGE:
            return
        after = page[-1].n


def _kind(results: Results, outcome: Outcome, code: str, rows: int, examples: list[Entry]) -> Kind:
    read = [results.result(entry).model_copy(update={"response": None}) for entry in examples]
    retryable = next((row.error.retryable for row in read if row.error), None)
    return Kind(outcome, code, retryable, rows, read)
