"""The failures a caller can act on.

    BatchError              a message that names what is wrong, where, and the next step
      InvalidRequests       the source cannot be sent: line, key, problem, fix; nothing was sent
      OverBudget            the estimate, the limit, and how to approve
      NotFinished           the state, and when to ask again
      UnknownJob            no such job here; nearest ids
      UnknownResult         no such key in the job; nearest keys
      UnknownModel          no such model, or one that cannot do this; nearest names
      PathNotAllowed        outside the roots, and the setting that changes them
      ProviderError         Gemini refused or could not be reached; what was and was not charged
      FileUnusable          a local file that a job names was changed, is gone, or Gemini cannot read it
      LedgerError           the home folder cannot be read or written

Everything else that is raised is a bug.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import ClassVar, Literal

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.grouping import Groups
from genai_batch.resources.redaction import redact


class BatchError(Exception):
    """A failure the caller can act on. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str = "") -> None:
        """Say what went wrong; an API key in it is left out, whoever put it there."""
        super().__init__(redact(message))


WITH_DATA = (
    "is not installed: install genai-batch-mcp again with the extra [data], from a clone by "
    "pipx install --force '.[data]' or uv tool install --force '.[data]'"
)
"""What is said where a package of the extra is needed."""


class InvalidRequests(BatchError):
    """The source cannot be sent as it is. Nothing was sent."""

    shown: ClassVar[int] = 20

    def __init__(
        self, source: str, problems: Sequence[Problem], count: int | None = None, groups: Groups | None = None
    ) -> None:
        """Describe `problems` of `source`; where not all are given, `count` and `groups` are those of all."""
        self.source, self.problems, self.count = source, tuple(problems), count or len(problems)
        self.groups = groups or Groups(problems)
        super().__init__(self.tell(self.shown))

    def tell(self, most: int, budget: int = 1_700, *, every: bool = False) -> str:
        """Say at most `most` problems in at most about `budget` bytes; those of many rows once, unless `every`."""
        head = f"{brief(self.source, 200)}: {self.count} problem{'s' * (self.count != 1)}; nothing was sent."
        lines = [head]
        shown = [(problem, 1) for problem in self.problems]
        if not every:
            shown = [(group.entry(), group.problems) for group in self.groups]
        left = self.count
        for problem, count in shown[:most]:
            line = f"- {problem.sentence()}"
            if sum(map(len, lines)) + len(line.encode()) > budget:
                break
            lines.append(line)
            left -= count
        if left > 0:
            lines.append(f"- and {left:,} more: `genai-batch estimate SOURCE --model MODEL --all` lists every one")
        return "\n".join(lines)


class OverBudget(BatchError):
    """The job may cost more than is allowed, or than is allowed without approval. Nothing was sent.

    `quote` is what a user could approve: USD at most, the limit that this is above, and a caution that goes with it.
    """

    exit_code = 6

    def __init__(self, message: str, *, quote: tuple[float, float, str] | None = None) -> None:
        """Say the cost, the limit, and how to approve it."""
        super().__init__(message)
        self.quote = quote


class NotFinished(BatchError):
    """The job has not come to an end yet."""

    exit_code = 5


class Unknown(BatchError):
    """A name that is not there; the message offers the nearest that are."""

    noun: ClassVar[str] = "name"
    advice: ClassVar[str] = ""

    def __init__(self, name: str, known: Iterable[str] = (), *, why: str = "", advice: str = "") -> None:
        """Name what was asked for and find its nearest neighbours in `known`."""
        near = get_close_matches(name[:300], list(known), n=2, cutoff=0.6)
        said = why or f"No {self.noun} {brief(name, 120)!r}"
        did_you = f" Did you mean {' or '.join(repr(brief(n, 80)) for n in near)}?" if near else ""
        super().__init__(f"{said}.{did_you} {advice or self.advice}".rstrip())


class UnknownJob(Unknown):
    """No job of this id is recorded here."""

    noun = "job"
    advice = "list_jobs (`genai-batch list`) shows the jobs of this home."


class UnknownResult(Unknown):
    """The job has no result under this key."""

    noun = "result"
    advice = "get_results (`genai-batch results JOB`) shows the keys."


class UnknownModel(Unknown):
    """No model of this name is known, or it cannot run in a batch."""

    noun = "model"
    advice = "The resource batch://models lists the models and their prices."


class PathNotAllowed(BatchError):
    """A tool may not read or write there."""


ProviderReason = Literal["invalid", "key", "permission", "missing", "quota", "day", "outage", "answer"]
"""`key` meets every call of this key until somebody puts it right; `day` passes at midnight Pacific time."""


class ProviderError(BatchError):
    """Gemini refused the call, or no usable answer came back.

    `reason` tells the kinds apart; `sent` is False where it is certain that the provider did not accept the call;
    `retry_after_s` is the provider's own advice.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, reason: ProviderReason, sent: bool = False, retry_after_s: float | None = None
    ) -> None:
        """Say what happened and what was charged."""
        super().__init__(message)
        self.reason: ProviderReason = reason
        self.sent, self.retry_after_s = sent, retry_after_s

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.reason in ("quota", "day", "outage", "answer")


class FileUnusable(BatchError):
    """A local file that a job names was changed, is gone, or is nothing that Gemini reads."""

    exit_code = 4


class LedgerError(BatchError):
    """The home folder cannot be used: full, locked, read-only or torn."""

    exit_code = 1


def leaves(group: ExceptionGroup[BatchError]) -> Iterator[BatchError]:
    """Yield the failures themselves, out of groups of groups."""
    for error in group.exceptions:
        if isinstance(error, BatchError):
            yield error
        else:
            yield from leaves(error)
