"""What a rule says, and how many rows it says it of."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Fault(NamedTuple):
    """What is wrong and how to mend it.

    `code` is a short stable name of the rule. A `doubt` is a warning: the request can be sent all the same.
    """

    problem: str
    fix: str | None = None
    code: str = ""
    doubt: bool = False


class Verdict(NamedTuple):
    """What the rules say of one request: `faults` keep it from being sent, `doubts` do not."""

    faults: tuple[Fault, ...]
    doubts: tuple[Fault, ...]


CLEAN = Verdict((), ())


def fault(code: str, problem: str, fix: str | None = None) -> Fault:
    """Say what will certainly fail or be ignored."""
    return Fault(problem, fix, code)


def doubt(code: str, problem: str, fix: str | None = None) -> Fault:
    """Say what may fail, disappoint or cost more than expected."""
    return Fault(problem, fix, code, doubt=True)


def verdict(found: Iterable[Fault]) -> Verdict:
    """Part faults from doubts."""
    if not (everything := tuple(found)):
        return CLEAN
    return Verdict(
        tuple(each for each in everything if not each.doubt), tuple(each for each in everything if each.doubt)
    )


@dataclass
class Told:
    """A doubt, the first row it was met in, and in how many rows in all."""

    doubt: Fault
    line: int
    key: str | None
    place: int = 0
    """Which doubt of that row it is."""
    rows: int = 0

    def sentence(self) -> str:
        """Say it once for all rows."""
        return f"{self.doubt.problem} ({self.rows:,} rows, first here)" if self.rows > 1 else self.doubt.problem


class Tally:
    """Doubts over many rows, each rule said once.

    One dictionary look-up a doubt. Who keeps a verdict for many equal rows counts them itself and adds them once, with
    `rows`.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._told: dict[str, Told] = {}

    def add(self, doubts: Iterable[Fault], line: int, key: str | None, rows: int = 1) -> None:
        """Count the doubts of a row, or of `rows` rows of which this is the first."""
        for place, each in enumerate(doubts):
            name = each.code or each.problem
            if (told := self._told.get(name)) is None:
                told = self._told[name] = Told(each, line, key, place)
            elif line < told.line:
                told.doubt, told.line, told.key, told.place = each, line, key, place
            told.rows += rows

    def __iter__(self) -> Iterator[Told]:
        """Each rule once, in the order of the lines where it was first met."""
        return iter(sorted(self._told.values(), key=lambda told: (told.line, told.place)))
