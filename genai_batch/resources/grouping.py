"""Problems of many rows, message once: those that differ only in their place are one entry with their count."""

import re
from collections.abc import Iterable, Iterator

from genai_batch.resources.answers import Problem

_PLACE = re.compile(
    r"(?:stage '[^']*': )?(items\[\d+\]|row \d[\d,]*|line \d[\d,]*|(?:key|file|folder) '[^']*')(?=[: ])"
)
_OWN = re.compile(r"(?<=\bfile )'[^']*'|(?<=\boutput )'[^']*'|(?<=\bkey )'[^']*'|items\[\d+\]|\d[\d,.]*")
"""What differs between rows that have one fault: names of files and keys, and numbers."""
_FIRST = 3
_MOST = 1_000
"""Entries that are kept."""


class Group:
    """Problems that differ only in their place: the first of them, how many there are, and the first places."""

    def __init__(self, first: Problem) -> None:
        """Start with the first, which is not counted yet."""
        self.first, self.problems, self.rows = first, 0, 0
        self._places: list[str] = []
        self._last: str | None = None

    def add(self, place: str, count: int = 1) -> None:
        """Count a problem, or several of which this is the place of the first."""
        self.problems += count
        if place == self._last:
            return
        self._last = place
        self.rows += count
        if len(self._places) < _FIRST:
            self._places.append(place)

    def entry(self) -> Problem:
        """Say them once."""
        if self.rows < 2:
            return self.first
        more = ", …" if self.rows > len(self._places) else ""
        places = f": lines {', '.join(self._places)}" if self.first.line else f", also {', '.join(self._places[1:])}"
        message = f"{self.first.problem} ({self.rows:,} rows{places}{more})"
        return self.first.model_copy(update={"problem": message})


class Groups:
    """The problems of a source, grouped as they come, in the order of the first of each group."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        """Start with some problems."""
        self._groups: dict[tuple[str, str], Group] = {}
        for problem in problems:
            self.add(problem)

    def add(self, problem: Problem, count: int = 1) -> None:
        """Count a problem, or `count` like it of which this is the first; of new kinds only so many are kept."""
        text = _PLACE.sub("", problem.problem, count=1)
        name = _OWN.sub("#", text), _OWN.sub("#", problem.fix or "")
        if (group := self._groups.get(name)) is None:
            if len(self._groups) >= _MOST:
                return
            group = self._groups[name] = Group(problem)
        group.add(_place(problem), count)

    def __iter__(self) -> Iterator[Group]:
        """The groups in the order in which they were met."""
        return iter(self._groups.values())

    def entries(self) -> list[Problem]:
        """Each group as one problem, in the order of the lines."""
        return sorted((group.entry() for group in self), key=lambda entry: entry.line or 0)


def _place(problem: Problem) -> str:
    if problem.line:
        return f"{problem.line:,}"
    if match := _PLACE.match(problem.problem):
        return match[1]
    return repr(problem.key) if problem.key else problem.problem
