"""Which row answers which request, some parts at a time, here and in a process beside this one."""

import os
from array import array
from collections.abc import Iterator
from itertools import accumulate

from genai_batch.resources.helping import Helper, pipe, send, start
from genai_batch.resources.results_index import matcher
from genai_batch.resources.results_index.laid import Keys, Matched, Parts, match_plainly, of_requests
from genai_batch.resources.results_index.matching import Matches
from genai_batch.resources.results_index.pieces import Sections
from genai_batch.resources.results_index.pool import Pool, Work
from genai_batch.resources.results_index.spread import Spread, part_of

_GROUP = 4
"""Parts that are matched together."""


class Matching(Work[Parts, Matched]):
    """Matches parts; `plainly` is whether they can be plain at all."""

    def __init__(self, asked: Spread, answered: Spread, *, plainly: bool) -> None:
        """Match requests with rows."""
        self.asked, self.answered, self.plainly = asked, answered, plainly

    def do(self, task: Parts) -> Matched:
        """Match some parts here."""
        if not self.plainly:
            return Matched(plain=False)
        return match_plainly(task, self.asked.pieces(task), self.answered.pieces(task))

    def start(self) -> Helper:
        """Start a process that reads the keys where they lie."""
        files = self.asked.section.settled(), self.answered.section.settled()
        return start(matcher, *files, shared=files)

    def greet(self, process: Helper) -> None:
        """Tell it how the keys lie."""
        send(pipe(process.stdin), Keys(self.asked.runs, self.answered.runs))

    def kind(self, _: Parts, /) -> type[Matched]:
        """Tell what comes of parts."""
        return Matched


def join(work: Matching, matches: Matches, sections: Sections, parts: int, helpers: int) -> None:
    """Match all parts, and keep the sums of the keys of the requests and their numbers, part by part.

    Raises:
        LedgerError: a key stands twice among the requests.
    """
    sums, numbers, starts = (sections.new(name) for name in ("sums", "numbers", "starts"))
    starts.add(array("I", [0]).tobytes())
    for group, found in _in_order(work, parts, helpers * hasattr(os, "pread")):
        if found.plain:
            matches.plain(array("I", found.answered), array("I", found.rows))
        else:
            found = _carefully(work, matches, group)
        starts.add(array("I", accumulate(found.counts, initial=numbers.size // 4))[1:].tobytes())
        sums.add(found.sums)
        numbers.add(found.numbers)


def _in_order(work: Matching, parts: int, helpers: int) -> Iterator[tuple[Parts, Matched]]:
    """All parts in their order, whoever matches them."""
    tasks = [Parts(start, min(start + _GROUP, parts)) for start in range(0, parts, _GROUP)]
    early, due = dict[int, tuple[Parts, Matched]](), 0
    with Pool(tasks, helpers, work) as pool:
        for task, found in pool.found():
            early[task.start] = task, found
            while turn := early.pop(due, None):
                due = turn[0].end
                yield turn


def _carefully(work: Matching, matches: Matches, parts: Parts) -> Matched:
    """Match parts in which a row may answer nothing, or what another answers too."""
    asked, answered = work.asked.pieces(parts), work.answered.pieces(parts)
    for number in range(parts.end - parts.start):
        matches.part(part_of(asked, number), part_of(answered, number))
    return of_requests(parts, asked)
