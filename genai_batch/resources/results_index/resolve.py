"""Which of several answers to one request stands."""

import sqlite3
from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

REPEATED_KEYS = 100
"""Keys answered more than once in an attempt that are kept by name."""
_GOOD = 2
_RANKS = {"ok": _GOOD, "truncated": 1}
_REPEATED = "INSERT OR IGNORE INTO several SELECT key FROM answer GROUP BY key, attempt HAVING count(*) > 1"
_DOUBTFUL = """
INSERT OR IGNORE INTO several
SELECT key FROM (SELECT key, count(*) AS answers, max(attempt), outcome FROM answer GROUP BY key)
WHERE answers > 1 AND (outcome <> 'ok' OR ?)
"""
"""SQLite takes the outcome from the answer of the latest attempt, where it is asked for the maximum."""
_SEVERAL = """
SELECT rows.line, key, rows.request_offset, answer.id, answer.attempt, answer.outcome, answer.offset, answer.length
FROM several CROSS JOIN rows USING (key) CROSS JOIN answer USING (key) ORDER BY rows.line
"""
_REPLACE = """
UPDATE rows
SET (outcome, finish_reason, error_code, input_tokens, output_tokens, thinking_tokens, cached_tokens, cost_usd,
     has_media, attempt, offset, length)
  = (SELECT outcome, finish_reason, error_code, input_tokens, output_tokens, thinking_tokens, cached_tokens, cost_usd,
            has_media, attempt, offset, length FROM answer WHERE id = ?)
WHERE line = ?
"""


class Answer(NamedTuple):
    """One of several answers to a request: where its line lies in results.jsonl, and where that of the request does."""

    line: int
    key: str
    request_offset: int
    id: int
    attempt: int
    outcome: str
    offset: int
    length: int


class Repeats(NamedTuple):
    """How many answers came beyond the first to a key in one attempt, and the first such keys."""

    answers: int = 0
    keys: list[str] = []


class Rules(NamedTuple):
    """What must be read to choose: whether a check turns an ok answer down, and the line of an answer.

    Without `has_checks` none is turned down.
    """

    is_turned_down: Callable[[Answer], bool]
    content: Callable[[Answer], bytes]
    has_checks: bool


def resolve(db: sqlite3.Connection, rules: Rules) -> Repeats:
    """Put the answer that stands into the row of each request; the rows hold an answer of the latest attempt.

    Within one attempt the answer of the highest rank stands; of equal ones the one whose bytes come first, so that the
    order of the rows decides nothing. The answer of a later attempt replaces an earlier one unless its rank is lower.
    """
    db.execute("CREATE TEMP TABLE several (key TEXT PRIMARY KEY) WITHOUT ROWID")
    db.execute(_REPEATED)
    db.execute(_DOUBTFUL, (rules.has_checks,))
    repeated, keys, standing = 0, list[str](), list[tuple[int, int]]()
    for _, group in groupby(map(Answer._make, db.execute(_SEVERAL)), lambda answer: answer.line):
        stands, beyond = _standing(sorted(group, key=lambda answer: (answer.attempt, answer.id)), rules)
        standing.append((stands.id, stands.line))
        repeated += beyond
        if beyond and len(keys) < REPEATED_KEYS:
            keys.append(stands.key)
    db.executemany(_REPLACE, standing)
    return Repeats(repeated, keys)


def _standing(answers: list[Answer], rules: Rules) -> tuple[Answer, int]:
    """Return the answer that stands, and how many came beyond the first in their attempt."""
    attempts = [list(group) for _, group in groupby(answers, lambda answer: answer.attempt)]
    stands = _best(attempts[0], rules)
    for latest in attempts[1:]:
        best = _best(latest, rules)
        if not _is_worse(best, stands, rules):
            stands = best
    return stands, len(answers) - len(attempts)


def _best(answers: list[Answer], rules: Rules) -> Answer:
    if len(answers) == 1:
        return answers[0]
    ranks = [_rank(answer, rules) for answer in answers]
    best = [answer for answer, rank in zip(answers, ranks, strict=True) if rank == max(ranks)]
    return best[0] if len(best) == 1 else min(best, key=rules.content)


def _is_worse(latest: Answer, stands: Answer, rules: Rules) -> bool:
    rank = _rank(latest, rules)
    return rank < _GOOD and rank < _rank(stands, rules)


def _rank(answer: Answer, rules: Rules) -> int:
    if answer.outcome == "ok" and rules.is_turned_down(answer):
        return 0
    return _RANKS.get(answer.outcome, 0)
