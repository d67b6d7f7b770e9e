"""One pass over a job's requests before it is accepted: are they valid, how large, which will fail."""

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from .models import Model
from .outcomes import file_names, outcome_of
from .plan import Plan
from .rows import LineError, Row, read_rows
from .store import Store
from .stored_files import file_is_readable
from .tokens import prompt_tokens
from .wire import ApiError, canonical

SHOWN_ERRORS = 1000


@dataclass
class Survey:
    """What a pass found; arrays of numbers, not objects, so that a million rows stay small."""

    requests: int = 0
    tokens: int = 0
    missing_files: set[str] = field(default_factory=set[str])
    failures: "array[int]" = field(default_factory=lambda: array("I"))
    fingerprints: "array[int]" = field(default_factory=lambda: array("Q"))

    def save_fingerprints(self, path: Path) -> None:
        """Lay the sorted fingerprints of key and request beside the requests; billing merges them."""
        with path.with_suffix(".prints").open("wb") as file:
            self.fingerprints.tofile(file)


def survey(store: Store, owner: str, path: Path, kind: str, model: Model, plan: Plan) -> Survey:
    """Read all requests once.

    Raises:
        ApiError: 400 with a line for each bad row, or when there is none at all.
    """
    found, errors, seen = Survey(), list[str](), dict[str, bool]()
    for row in read_rows(path, kind):
        if isinstance(row, LineError):
            errors.append(str(row))
            if len(errors) == SHOWN_ERRORS:
                break
        elif not errors:
            _add(found, row, model, plan, _missing(store, owner, row, seen))
    if errors:
        raise ApiError(400, "\n".join(errors))
    if not found.requests:
        raise ApiError(400, "The batch has no requests.")
    found.fingerprints = array("Q", sorted(found.fingerprints))
    return found


def _add(found: Survey, row: Row, model: Model, plan: Plan, missing: set[str]) -> None:
    found.missing_files |= missing
    outcome = outcome_of(row, model, Plan(plan.faults, sorted(missing)))
    if outcome.failed:
        found.failures.append(found.requests)
    else:
        digest = blake2b(row.key.encode() + b"\0" + canonical(row.request), digest_size=8).digest()
        found.fingerprints.append(int.from_bytes(digest))
    found.tokens += sum(prompt_tokens(row.request, model).values())
    found.requests += 1


def _missing(store: Store, owner: str, row: Row, seen: dict[str, bool]) -> set[str]:
    names = file_names(row.request)
    for name in names:
        if name not in seen:
            seen[name] = file_is_readable(store, owner, name)
    return {name for name in names if not seen[name]}
