"""What a reader has to know of the rows of a finished job that its counts do not say, with the first keys of each."""

from collections.abc import Iterator

from genai_batch.resources.answers import brief
from genai_batch.resources.checks.checking import MISMATCH, SWAPPED, UNKNOWN, UNVERIFIED
from genai_batch.resources.checks.media_asked import NO_AUDIO, NO_IMAGE
from genai_batch.resources.outcomes import LOOP
from genai_batch.resources.results import Results
from genai_batch.resources.shapes import tier_of
from genai_batch.resources.status import ONLY_LOOPS

KEYS = 3
"""Keys that are named of each kind."""
_FOUND = {
    SWAPPED: "{} answers belong to other rows, see error swapped: {}.",
    MISMATCH: "{} answers do not fit their schema, see error schema_mismatch: {}.",
    NO_IMAGE: "{} answers hold no picture though one was asked for, see error no_image: {}.",
    NO_AUDIO: "{} answers hold no speech though it was asked for, see error no_audio: {}.",
    UNVERIFIED: "{} ok answers do not carry their ref, so whose they are was not verified: {}.",
    UNKNOWN: "{0} ok answers were not held against their schema, which is not understood ({2}): {1}.",
}


def tell(results: Results) -> str | None:
    """Say it, the worst first; None where there is nothing to say."""
    return " ".join(_told(results)) or None


def _told(results: Results) -> Iterator[str]:
    if results.loss:
        yield results.loss
    yield from _checked(results)
    yield from _loops(results)
    yield from _billed_otherwise(results.tiers)
    if count := results.labelled:
        yield f"{count:,} answers came without a key and are named by their metadata, else by number (row-000001)."
    missing = results.counts.get("missing", 0)
    if 0 < missing < sum(results.counts.values()):
        keys = [entry.key for entry in results.page("missing", 0, KEYS)]
        yield f"{missing:,} requests got no answer: {named(keys, missing)}."
    if (found := results.unmatched(KEYS))[0]:
        yield f"{found[0]:,} rows came back that match no request: {'; '.join(found[1])}."
    if count := results.repeated:
        keys = named(results.repeated_keys[:KEYS], len(results.repeated_keys))
        yield f"{count:,} answers came again for the same key in one attempt ({keys}); an ok one is preferred."


def _billed_otherwise(tiers: list[tuple[str, str, int]]) -> Iterator[str]:
    """Say how many rows were served at another service tier than they asked for, or than their lane asks for."""
    for asked, served, rows in tiers:
        wish = f"asked for at the service tier {asked} and " if asked != served else ""
        price = "and billed" if tier_of(served) else "at a price that is not known"
        yield f"{rows:,} rows were {wish}served, {price}, at {brief(served, 40)}."


def _checked(results: Results) -> Iterator[str]:
    findings = results.findings
    for code, said in _FOUND.items():
        if code in findings:
            count, keys, first = findings[code]
            yield said.format(f"{count:,}", named(keys, count), first)


def _loops(results: Results) -> Iterator[str]:
    loops = sum(total.rows for total in results.totals if total.error == LOOP)
    if loops:
        cut = results.counts.get("truncated", 0)
        which = ONLY_LOOPS if loops == cut else f"{loops:,} of {cut:,} truncated answers are loops"
        yield f"{which}: they repeat themselves until they are cut, so more room does not help."


def named(keys: list[str], count: int) -> str:
    """The first keys, and whether there are more."""
    return ", ".join(repr(brief(key, 40)) for key in keys) + ", …" * (count > len(keys))
