"""How far the count of input tokens may be off, from how far such counts were off before (`tokens.toml`).

A count has two errors: one of each row, which evens out over many, and one that all rows share, which does not. A
reader that counted only a sample adds a third.
"""

from genai_batch.resources.answers import Problem
from genai_batch.resources.prices import Lane, Rates
from genai_batch.resources.requests import Preflight
from genai_batch.resources.tally import Tier
from genai_batch.resources.tokens.coefficients import coefficients
from genai_batch.resources.tokens.counting import KINDS
from genai_batch.resources.tokens.media import UNSEEN
from genai_batch.resources.triples import Triple

_WORTH_SAYING = 0.02
_UNMEASURED = {
    "unmeasured": "{:.0%} of the input is in a script that was never measured here; that count may be off by {:.0%}",
    "european": "{:.0%} of the input is in a language measured on few texts; that count may be off by {:.0%}",
    "cjk": "{:.0%} of the input is Chinese, Japanese or Korean, measured on few texts; that count may be off by {:.0%}",
}
_KEPT = 20_000_000_000
"""Bytes of files that Gemini keeps for a project, each for 48 h."""
UNSEEN_RANGE = Triple(0.05, 1, 10)
"""Share of the guess that a medium nobody here has seen may cost."""


def input_tokens(tier: Tier) -> Triple:
    """Tokens of the rows of a tier, with their range."""
    return _range(tier, dict.fromkeys(KINDS, 1.0))


def input_usd(tier: Tier, rate: Rates) -> Triple:
    """USD of the same, each kind of token at its own price."""
    own = {
        "audio": rate.audio_input,
        "image": rate.image_input,
        "document": rate.image_input,
        "video": rate.video_input,
    }
    return _range(tier, {kind: float(own.get(kind, rate.input)) for kind in KINDS})


def warnings(found: Preflight, lane: Lane) -> list[Problem]:
    """Say what the estimate cannot know."""
    tiers = (found.short, found.long)
    counts = {kind: sum(tier.by_kind.get(kind, 0) for tier in tiers) for kind in KINDS}
    unseen = sum(counts[kind] for kind in UNSEEN.values())
    total = sum(counts.values()) - unseen
    shapes = [shape for tier in tiers for shape in tier.shapes]
    spread = coefficients()["spread"]["job"]
    said = {
        text.format(counts[kind] / total, spread[kind]): counts[kind] > _WORTH_SAYING * total
        for kind, text in _UNMEASURED.items()
        if total
    } | {
        "media whose size is not seen here are guessed, in a wide range": unseen > 0,
        "the size of cached_content is not known here": any(shape.cached for shape in shapes),
        "pages that url_context fetches are input of unknown size": any("url_context" in s.tools for s in shapes),
    }
    told = [Problem(problem=text, fix="run a pilot of some rows") for text, holds in said.items() if holds]
    return [*told, *_ignored_tiers(tiers, lane), *_too_much(found.upload_bytes)]


def _ignored_tiers(tiers: tuple[Tier, ...], lane: Lane) -> list[Problem]:
    """Say that a batch has no service tiers."""
    rows = sum(rows for tier in tiers for shape, rows in tier.shapes.items() if shape.tier not in (None, "standard"))
    if lane != "batch" or rows <= 0:
        return []
    text = f"{rows:,.0f} rows name a service_tier, which a batch ignores: it costs half of standard"
    return [Problem(problem=text, fix="remove service_tier, or use lane=live or flex")]


def _too_much(size: int) -> list[Problem]:
    """Say that files do not fit where they are to be kept."""
    if size <= _KEPT:
        return []
    said = f"{size / 1e9:,.0f} GB of files are to be uploaded; Gemini keeps {_KEPT / 1e9:.0f} GB for a project"
    return [Problem(problem=said, fix="make several jobs of it, two days apart")]


def _range(tier: Tier, price: dict[str, float]) -> Triple:
    """Errors of different kinds are independent of each other; those of one kind are not."""
    spread = coefficients()["spread"]
    usd = {kind: count * price[kind] for kind, count in tier.by_kind.items()}
    seen = {kind: value for kind, value in usd.items() if kind not in UNSEEN.values()}
    likely = sum(seen.values())
    shared = sum((value * spread["job"][kind]) ** 2 for kind, value in seen.items()) ** 0.5
    each = sum(value * spread["item"][kind] for kind, value in seen.items()) * tier.evened
    half = (shared**2 + each**2 + (likely * tier.unsure) ** 2) ** 0.5
    return Triple(max(likely - half, 0), likely, likely + half).plus(
        UNSEEN_RANGE.times(sum(usd.get(kind, 0) for kind in UNSEEN.values()))
    )
