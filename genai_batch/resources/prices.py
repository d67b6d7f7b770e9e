"""What a token costs: genai-prices, corrected where Google's own page says otherwise.

Correction: for a model without a batch entry genai-prices answers a question about the batch lane with the full price.
Google's batch discount is a fixed 50 %, so an answer that equals the standard price is halved, and the source says so.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from genai_batch.resources.answers import Answer
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import catalogue
from genai_batch.resources.tiers import LONG

Lane = Literal["batch", "live"]
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


class Usage(NamedTuple):
    """Tokens of one answer as Gemini reports them; `output` includes thinking, `input` every kind of input."""

    input: int = 0
    output: int = 0
    cached: int = 0
    image_output: int = 0
    audio_input: int = 0
    image_input: int = 0
    video_input: int = 0


def is_listed(model: str) -> bool:
    """Whether genai-prices knows the model at all."""
    try:
        _calculate(model, "live", _BATCH_KNOWN_SINCE, input_tokens=1)
    except LookupError:
        return False
    return True


@cache
def rates(model: str, lane: Lane, day: date, *, long: bool = False) -> Rates:
    """Rates of one model on one day.

    Raises:
        UnknownModel: no price is known; a price is never guessed and never 0.
    """
    when = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    size = LONG + 1 if long else 1_000
    try:
        listed = _rates(model, lane, when, size)
    except LookupError:
        raise UnknownModel(model, why=f"no price is known for {model}") from None
    return Rates(*(rate / 2 for rate in listed)) if _lacks_batch(model, lane, when) else listed


def price(model: str, lane: Lane, day: date) -> Price:
    """Name the source of `rates` for the same arguments."""
    halved = _lacks_batch(model, lane, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    source = f"genai-prices {version('genai-prices')}" + ", standard price halved" * halved
    return Price(source=source, checked=catalogue()["checked"])


def cost(model: str, lane: Lane, day: date, usage: Usage) -> Decimal:
    """USD of one answer."""
    return at(rates(model, lane, day, long=usage.input > LONG), usage)


def at(rate: Rates, usage: Usage) -> Decimal:
    """The same at given rates, in whatever unit they are."""
    seen = usage.audio_input * rate.audio_input + usage.image_input * rate.image_input
    seen += usage.video_input * rate.video_input + usage.cached * rate.cached
    plain = max(0, usage.input - usage.cached - usage.audio_input - usage.image_input - usage.video_input)
    text = usage.output - usage.image_output
    return seen + plain * rate.input + text * rate.output + usage.image_output * rate.image_output


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
