"""What a token costs: genai-prices, corrected where Google's own page says otherwise.

Corrections: genai-prices takes a name for a model whose name it begins with; here only a name that stands in
`models.toml`, or in its own list word for word, has a price. For a model without a batch entry it answers a question
about the batch lane with the full price; Google's batch discount is a fixed 50 %, so an answer that equals the standard
price is halved, and the source says so. Service tiers are factors of our own (`models.toml`).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from genai_batch.resources.answers import Answer
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import BATCH_LIFE, catalogue
from genai_batch.resources.tiers import LONG

if TYPE_CHECKING:  # takes 0.2 s to import
    from genai_prices.types import MatchLogic, ModelInfo

Lane = Literal["batch", "flex", "live"]
ServiceTier = Literal["standard", "flex", "priority"]
Fallback = Literal["standard"]
"""The tier at which a row of the flex lane is sent that has found no room several times."""
_BATCH_KNOWN_SINCE = datetime(2026, 10, 15, tzinfo=UTC)
_MTOK = 1_000_000


class Price(Answer):
    """Where a price comes from, so that a number can be checked. Source: genai-prices and `models.toml`."""

    source: str
    checked: Annotated[date, Field(description="Day on which it was last compared with Google's page")]


class Rates(NamedTuple):
    """USD per token, for requests of up to, or above, `LONG` input tokens; `input` is that of text."""

    input: Decimal
    output: Decimal
    cached: Decimal
    image_output: Decimal
    audio_input: Decimal
    image_input: Decimal
    video_input: Decimal

    @property
    def dearest_input(self) -> Decimal:
        """The highest rate of any kind of input."""
        return max(self.input, self.cached, self.audio_input, self.image_input, self.video_input)

    def times(self, factor: Decimal) -> "Rates":
        """Scale all rates."""
        return Rates(*(rate * factor for rate in self))


class Usage(NamedTuple):
    """Tokens of one answer as Gemini reports them; `output` includes thinking, `input` every kind of input."""

    input: int = 0
    output: int = 0
    cached: int = 0
    image_output: int = 0
    audio_input: int = 0
    image_input: int = 0
    video_input: int = 0


def stops_at_limit(lane: str) -> bool:
    """Whether a job in this lane can still be stopped once it runs; a batch that was sent is paid to its end."""
    return lane != "batch"


def default_tier(lane: Lane) -> ServiceTier:
    """The service tier at which a lane sends a row that names none; a batch has no tiers and ignores it."""
    return "flex" if lane == "flex" else "standard"


@cache
def listed(model: str) -> "ModelInfo | None":
    """The entry of genai-prices that names a model word for word, whatever other names it would match."""
    from genai_prices.data import providers

    google = next(provider for provider in providers if provider.id == "google")
    return next((entry for entry in google.models if model == entry.id or model in _names(entry.match)), None)


def _names(match: "MatchLogic") -> Iterator[str]:
    """The names that a rule of genai-prices spells out."""
    from genai_prices.types import ClauseEquals, ClauseOr

    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseOr):
        for clause in match.or_:
            yield from _names(clause)


def prices_pictures(model: str) -> bool:
    """Whether a price is listed for pictures that the model makes; without one they would be billed as text."""
    rate = rates(model, "live", catalogue()["checked"])
    return rate.image_output != rate.output


@cache
def rates(model: str, lane: Lane, day: date, *, long: bool = False, tier: ServiceTier | None = None) -> Rates:
    """Likely rates of one model on one day, at the tier of the lane where none is named; a batch has no service tiers.

    Raises:
        UnknownModel: no price is known; a price is never guessed and never 0.
    """
    return _standard(model, lane, day, long).times(_factors(model, lane, tier)[0])


@cache
def dearest_rates(model: str, lane: Lane, day: date, *, long: bool = False, tier: ServiceTier | None = None) -> Rates:
    """The highest rates that a job of one day may be billed at.

    A batch may run into a day of other prices, or on past the end of its model, when the next one answers. Google's
    pages differ on what cached tokens cost in a batch: the standard rate is the higher one.

    Raises:
        UnknownModel: as for `rates`.
    """
    facts = _facts(model)
    last = day + BATCH_LIFE
    ended = "next" in facts and facts["ends"] <= last
    billed = [(model, day), (model, last), *([(facts["next"], last)] if ended else [])]
    possible = [_standard(name, lane, when, long) for name, when in billed]
    most = Rates(*(max(kind) for kind in zip(*possible, strict=True)))
    cached = max(_standard(name, "live", when, long).cached for name, when in billed)
    return most._replace(cached=cached).times(_factors(model, lane, tier)[1])


def price(model: str, lane: Lane, day: date) -> Price:
    """Name the source of `rates` for the same arguments."""
    halved = _lacks_batch(model, lane, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    source = f"genai-prices {version('genai-prices')}" + ", standard price halved" * (halved or lane == "flex")
    return Price(source=source, checked=catalogue()["checked"])


def cost(model: str, lane: Lane, day: date, usage: Usage, tier: ServiceTier | None = None) -> Decimal:
    """USD of one answer, at the tier of the lane where none is named."""
    return at(rates(model, lane, day, long=usage.input > LONG, tier=tier), usage)


def at(rate: Rates, usage: Usage) -> Decimal:
    """The same at given rates, in whatever unit they are."""
    seen = usage.audio_input * rate.audio_input + usage.image_input * rate.image_input
    seen += usage.video_input * rate.video_input + usage.cached * rate.cached
    plain = max(0, usage.input - usage.cached - usage.audio_input - usage.image_input - usage.video_input)
    text = usage.output - usage.image_output
    return seen + plain * rate.input + text * rate.output + usage.image_output * rate.image_output


def _standard(model: str, lane: Lane, day: date, long: bool) -> Rates:
    """Rates of the standard tier."""
    if model not in catalogue()["models"] and listed(model) is None:
        raise UnknownModel(model, why=f"no price is known for {model}")
    when = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    size = LONG + 1 if long else 1_000
    try:
        rate = _rates(model, lane, when, size)
    except LookupError:
        raise UnknownModel(model, why=f"no price is known for {model}") from None
    return rate.times(Decimal("0.5")) if _lacks_batch(model, lane, when) else rate


def _facts(model: str) -> dict[str, Any]:
    """What `models.toml` says of a model, or of the one that its name is a listed alias of."""
    facts = catalogue()["models"]
    alias = None if model in facts else listed(model)
    return facts.get(alias.id if alias else model, {})


def _factors(model: str, lane: Lane, tier: ServiceTier | None) -> tuple[Decimal, Decimal]:
    """What a service tier costs against the standard one: probably, and at most."""
    if lane == "batch":
        return Decimal(1), Decimal(1)
    tier = tier or default_tier(lane)
    if tier == "flex" and not _facts(model).get("flex"):
        advice = "Leave service_tier out, or name a model that has flex."
        if lane == "flex":
            advice = "Use lane='batch' (`--lane batch`), at the same price, or a model that has flex: gemini-3.8-flash."
        raise UnknownModel(model, why=f"no price is known for {model} at the service tier flex", advice=advice)
    likely, most = catalogue()["tiers"][tier]
    return Decimal(likely), Decimal(most)


def _lacks_batch(model: str, lane: Lane, when: datetime) -> bool:
    return lane == "batch" and _rates(model, "batch", when, 1_000) == _rates(model, "live", when, 1_000)


def _rates(model: str, lane: Lane, when: datetime, size: int) -> Rates:
    text = _calculate(model, lane, when, input_tokens=size, output_tokens=_MTOK)
    cached = _calculate(model, lane, when, input_tokens=size, cache_read_tokens=size)
    image = _calculate(model, lane, when, input_tokens=size, output_tokens=_MTOK, output_image_tokens=_MTOK)
    media = {
        kind: _calculate(model, lane, when, input_tokens=size, **{f"input_{kind}_tokens": size}).input_price / size
        for kind in ("audio", "image", "video")
    }
    return Rates(
        **{f"{kind}_input": rate for kind, rate in media.items()},
        input=text.input_price / size,
        output=text.output_price / _MTOK,
        cached=cached.input_price / size,
        image_output=image.output_price / _MTOK,
    )


def _calculate(model: str, lane: Lane, when: datetime, **tokens: int) -> Any:
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    context = {"processing": "batch"} if lane == "batch" else {}
    at = max(when, _BATCH_KNOWN_SINCE) if lane == "batch" else when
    return calc_price(Tokens(**tokens), model, provider_id="google", price_context=context, genai_request_timestamp=at)
