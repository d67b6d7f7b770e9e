"""Problems and warnings met on the way, bounded."""

from typing import ClassVar

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.grouping import Groups

KEPT = 1_000


class Findings:
    """Problems and warnings met on the way: all problems counted, by what is wrong too, the first thousand kept.

    `limit` is how many problems are kept one by one; a command that lists every one raises it for its process.
    """

    limit: ClassVar[int] = KEPT

    def __init__(self) -> None:
        """Start with none."""
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.groups = Groups()
        self.count = 0

    @property
    def shown(self) -> list[Problem]:
        """The problems as they are shown: those of many rows once, unless every one is to be listed."""
        return self.problems if self.limit > KEPT else self.groups.entries()

    def problem(self, problem: str, fix: str | None = None, *, line: int | None = None, key: str | None = None) -> None:
        """Note something that keeps the file from being sent."""
        self.count += 1
        noted = _told(problem, fix, line, key)
        self.groups.add(noted)
        if len(self.problems) < self.limit:
            self.problems.append(noted)

    def warn(self, problem: str, fix: str | None = None, *, line: int | None = None, key: str | None = None) -> None:
        """Note something that is accepted all the same."""
        if len(self.warnings) < KEPT:
            self.warnings.append(_told(problem, fix, line, key))

    def repeats(self, found: list[tuple[int, int, str]]) -> None:
        """Note keys that stand on an earlier line too: line, earlier line, key. Problems end up in line order."""
        self.count += len(found)
        told = [
            _told(f"repeats the key of line {first}", "make keys unique", line, key)
            for line, first, key in found[: self.limit]
        ]
        for number, problem in enumerate(told, 1):
            self.groups.add(problem, 1 if number < len(told) else len(found) - len(told) + 1)
        self.problems = sorted([*self.problems, *told], key=lambda problem: problem.line or 0)[: self.limit]

    def refusal(self, source: str) -> InvalidRequests:
        """The error that says all that is wrong with a source."""
        return InvalidRequests(source, self.problems, self.count, self.groups)


def _told(problem: str, fix: str | None, line: int | None, key: str | None) -> Problem:
    """Bound what a file can make an answer say."""
    return Problem(line=line, key=key and brief(key, 80), problem=brief(problem, 240), fix=fix and brief(fix, 200))
