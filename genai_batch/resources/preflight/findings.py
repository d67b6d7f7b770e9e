"""Problems and warnings met on the way, bounded."""

from genai_batch.resources.answers import Problem, brief

KEPT = 10_000
"""Problems that are kept one by one, and warnings."""


class Findings:
    """Problems and warnings met on the way: all problems counted, the first `KEPT` of each kept."""

    def __init__(self) -> None:
        """Start with none."""
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.count = 0

    def problem(self, problem: str, fix: str | None = None, *, line: int | None = None, key: str | None = None) -> None:
        """Note something that keeps the file from being sent."""
        self.count += 1
        if len(self.problems) < KEPT:
            self.problems.append(_told(problem, fix, line, key))

    def warn(self, problem: str, fix: str | None = None, *, line: int | None = None, key: str | None = None) -> None:
        """Note something that is accepted all the same."""
        if len(self.warnings) < KEPT:
            self.warnings.append(_told(problem, fix, line, key))

    def repeats(self, found: list[tuple[int, int, str]]) -> None:
        """Note keys that stand on an earlier line too: line, earlier line, key. Problems end up in line order."""
        self.count += len(found)
        told = [
            _told(f"repeats the key of line {first}", "make keys unique", line, key)
            for line, first, key in found[:KEPT]
        ]
        self.problems = sorted([*self.problems, *told], key=lambda problem: problem.line or 0)[:KEPT]


def _told(problem: str, fix: str | None, line: int | None, key: str | None) -> Problem:
    """Bound what a file can make an answer say."""
    return Problem(line=line, key=key and brief(key, 80), problem=brief(problem, 240), fix=fix and brief(fix, 200))
