"""What is checked of an answer that ended well.

`schema_mismatch`, `swapped`, `no_image` and `no_audio` make an `ok` row an `error`, which may be sent again;
`unverified` is only told.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from genai_batch.resources.answers import brief, short
from genai_batch.resources.checks import binding
from genai_batch.resources.checks.answered import MESSAGE, texts
from genai_batch.resources.checks.asked import Asked, asked, mentions
from genai_batch.resources.checks.media_asked import NO_AUDIO, NO_IMAGE, absent
from genai_batch.resources.checks.swaps import Refs
from genai_batch.resources.jobs import SCHEMA, Job, requests_of
from genai_batch.resources.models import ModelKind, kind_of

MISMATCH, SWAPPED, UNVERIFIED, UNKNOWN = "schema_mismatch", "swapped", "unverified", "schema_unknown"
_NAMED = 3
Owner = Callable[[str], str | None]
"""Finds the key that has an id."""


class Finding(NamedTuple):
    """What there is to say of an answer that ended well."""

    code: str
    message: str

    @property
    def is_error(self) -> bool:
        """Whether the row cannot be called ok."""
        return self.code in (MISMATCH, SWAPPED, NO_IMAGE, NO_AUDIO)


class Look:
    """Looks at the answers of a job, one by one. `owner` is for a job whose requests carry an id."""

    def __init__(self, owner: Owner | None, kind: ModelKind | None = None) -> None:
        """Look for ids where there is an `owner`, and for media where the `kind` of the model is told."""
        self._owner = owner
        self._kind: ModelKind | None = kind

    def look(self, key: str, response: dict[str, Any], request: bytes) -> Finding | None:
        """Judge the answer to a key, given the line of its request; the worst is told."""
        if self._kind and (lacking := absent(response, request, self._kind)):
            return Finding(*lacking)
        said, form = list(texts(response)), asked(request, bound=self._owner is not None)
        found = self._whose(key, said, self._owner, structured=form is not None) if self._owner else None
        if form is None or (found and found.is_error):
            return found
        fits = self._form(said, form)
        return fits if fits and fits.is_error else found or fits

    def _form(self, said: list[str | None], form: Asked) -> Finding | None:
        from genai_batch.resources.checks.schema import fitting

        judge = fitting(form, binding.MEMBER if self._owner else None)
        if judge.why_unknown:
            return Finding(UNKNOWN, judge.why_unknown)
        why = next((why for text in said if (why := judge.why_not(text))), None)
        return Finding(MISMATCH, why) if why else None

    def _whose(self, key: str, said: list[str | None], owner: Owner, *, structured: bool) -> Finding | None:
        own, carried = binding.ref(key), [binding.carried(text or "", structured=structured) for text in said]
        if said and all(own in ids for ids in carried):
            return None
        for found in (found for ids in carried if own not in ids for found in reversed(ids)):
            if other := owner(found):
                told = f"The answer carries the ref of {brief(other, 120)!r}: it belongs to that row."
                return Finding(SWAPPED, short(told, MESSAGE))
        return Finding(UNVERIFIED, "The answer does not carry its ref, so whose it is was not verified.")


class Checks(Look):
    """Looks at all answers of a job, and sums up what it found. Use it as a context."""

    def __init__(self, requests: Path, kind: ModelKind | None, *, bound: bool, texts: bool) -> None:
        """Begin with nothing found; `texts` says that answers with media are looked at too."""
        self._refs, self.reads_texts = Refs(requests), texts
        self.told: dict[str, tuple[int, list[str], str]] = {}
        """By code: how many answers, the first keys, and the first message."""
        super().__init__(self._refs.owner if bound else None, kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._refs.close()

    def note(self, key: str, found: Finding) -> None:
        """Count a finding on the answer that stands for a key."""
        count, keys, first = self.told.get(found.code, (0, [], found.message))
        self.told[found.code] = (count + 1, keys if count >= _NAMED else [*keys, key], first)


def checks_of(job: Job, folder: Path) -> Checks | None:
    """What is to be checked of a job; None where nothing is, which costs no more than to find out.

    Jobs that were recorded before this was noted are searched for a sign of structured answers.
    """
    requests = requests_of(folder)
    if not requests.exists():
        return None
    structured = mentions(requests) if job.checks is None else SCHEMA in job.checks.split()
    texts = structured or job.is_bound
    if not texts and not job.makes_media:
        return None
    return Checks(requests, kind_of(job.model) if job.makes_media else None, bound=job.is_bound, texts=texts)
