"""Prices are dated, exact to the token, and never guessed."""

from datetime import date
from decimal import Decimal

import pytest

from genai_batch.resources import prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import known
from genai_batch.resources.prices import Usage

TODAY = date(2026, 11, 20)
MTOK = Usage(input=1_000_000, output=1_000_000)


def per_mtok(model: str, lane: prices.Lane, day: date = TODAY, *, long: bool = False) -> tuple[float, float]:
    """USD per million tokens in and out."""
    rate = prices.rates(model, lane, day, long=long)
    return float(rate.input * 1_000_000), float(rate.output * 1_000_000)


@pytest.mark.parametrize(
    ("model", "standard", "batch"),
    [
        ("gemini-3.8-flash", (0.75, 3.75), (0.375, 1.875)),
        ("gemini-3.7-flash", (0.75, 3.75), (0.375, 1.875)),
        ("gemini-3.5-flash", (1.5, 9.0), (0.75, 4.5)),
        ("gemini-3.5-flash-lite", (0.3, 2.5), (0.15, 1.25)),
        ("gemini-4-argon", (2.0, 10.0), (1.0, 5.0)),
        ("gemini-3.1-pro-preview", (2.0, 12.0), (1.0, 6.0)),
        ("gemini-2.5-flash-lite", (0.1, 0.4), (0.05, 0.2)),
        ("gemini-embedding-001", (0.15, 0.0), (0.075, 0.0)),
        ("gemini-embedding-2", (0.2, 0.0), (0.1, 0.0)),
    ],
)
def test_rates_are_those_of_googles_page(model: str, standard: tuple[float, float], batch: tuple[float, float]) -> None:
    assert per_mtok(model, "live") == standard
    assert per_mtok(model, "batch") == batch


def test_the_batch_lane_costs_half_of_the_live_lane_for_every_model() -> None:
    for model in known():
        live, batch = per_mtok(model.name, "live"), per_mtok(model.name, "batch")
        assert batch == (live[0] / 2, live[1] / 2), model.name


def test_a_dated_change_of_price_is_known() -> None:
    assert per_mtok("gemini-3.8-flash", "batch", date(2027, 1, 2)) == (0.75, 3.75)
    assert per_mtok("gemini-3.7-flash", "batch", date(2027, 1, 2)) == (0.75, 3.75)


def test_a_long_request_is_charged_at_the_high_rate_as_a_whole_and_by_itself() -> None:
    assert per_mtok("gemini-3.1-pro-preview", "batch", long=True) == (2.0, 9.0)
    at = prices.cost("gemini-3.1-pro-preview", "batch", TODAY, Usage(input=200_000))
    above = prices.cost("gemini-3.1-pro-preview", "batch", TODAY, Usage(input=200_001))
    assert (float(at), round(float(above), 6)) == (0.2, 0.400002)


def test_cached_tokens_and_image_tokens_have_their_own_price() -> None:
    cached = prices.cost("gemini-3.8-flash", "batch", TODAY, Usage(input=1_000_000, cached=1_000_000))
    assert cached == Decimal("0.0375")
    image = prices.cost("gemini-nano-banana-2.1", "batch", TODAY, Usage(output=1_000_000, image_output=1_000_000))
    assert image == Decimal(15)


def test_an_unknown_price_is_an_error_and_never_zero() -> None:
    with pytest.raises(UnknownModel, match="no price"):
        prices.rates("gemini-99-ultra", "batch", TODAY)


def test_a_price_names_its_source_and_that_it_was_halved() -> None:
    assert prices.price("gemini-3.8-flash", "batch", TODAY).source.startswith("genai-prices 0.")
    assert "halved" not in prices.price("gemini-3.8-flash", "batch", TODAY).source
    assert "halved" in prices.price("gemini-3.7-flash", "batch", TODAY).source
