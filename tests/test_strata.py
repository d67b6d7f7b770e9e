"""A sample drawn by strata holds some of the rows that are rare and dear, and what it says of all rows stays true."""

import json
from collections.abc import Sequence
from math import log
from random import Random
from typing import Any, NamedTuple

import pytest

from genai_batch.resources.models import find
from genai_batch.resources.projection import Measured, Whole, project
from genai_batch.resources.row_sizes import RowSizes, Size
from genai_batch.resources.strata import Stratum, draw, unseen_share
from genai_batch.resources.tokens.headers import Seen
from tests.benchmarks.simulated_jobs import DAY
from tests.world import MODEL, row

Row = dict[str, Any]
PILOT = 20


def part(**fields: Any) -> Row:
    """A row that has a medium beside its prompt."""
    request = {"contents": [{"role": "user", "parts": [{"text": "Describe it."}, fields]}]}
    return {"key": "k", "request": request}


def tool(prompt: str, name: str) -> Row:
    line = row("k", prompt)
    return line | {"request": line["request"] | {"tools": [{name: {}}]}}


SMALL, FILM = row("k", "Say hello. " * 10), "https://generativelanguage.googleapis.com/v1beta/files/abc"
KINDS: dict[str, tuple[Row, Row]] = {
    "input": (SMALL, row("k", "Translate this sentence. " * 20_000)),
    "system instruction": (SMALL, {"key": "k", "request": {**SMALL["request"], "systemInstruction": "So. " * 80_000}}),
    "Chinese": (SMALL, row("k", "港口" * 40_000)),
    "film": (SMALL, part(fileData={"fileUri": FILM, "mimeType": "video/mp4"})),
    "YouTube": (SMALL, part(file_data={"file_uri": "https://youtu.be/abc"})),
    "piece of a film": (
        part(fileData={"fileUri": FILM, "mimeType": "video/mp4"}, videoMetadata={"endOffset": "5s"}),
        part(fileData={"fileUri": FILM, "mimeType": "video/mp4"}, videoMetadata={"endOffset": "1800s"}),
    ),
    "max_output_tokens": (
        row("k", "Say hello.", max_output_tokens=100),
        row("k", "Say hello.", maxOutputTokens=60_000),
    ),
    "higher max_output_tokens": (
        row("k", "Say hello.", max_output_tokens=8_192),
        row("k", "Say hello.", max_output_tokens=65_536),
    ),
    "no max_output_tokens": (row("k", "Say hello.", max_output_tokens=100), row("k", "Say hello.")),
    "thinking budget": (
        row("k", "Say hello.", thinking_config={"thinking_budget": 0}),
        row("k", "Say hello.", thinkingConfig={"thinkingBudget": 24_576}),
    ),
    "candidates": (
        row("k", "Say hello.", max_output_tokens=500),
        row("k", "Say hello.", max_output_tokens=500, candidate_count=8),
    ),
    "searches": (SMALL, tool("Say hello.", "googleSearch")),
    "pages": (row("k", "Say.", max_output_tokens=500), tool("Say hello.", "urlContext")),
    "pages and no longer answers": (SMALL, tool("Say hello.", "url_context")),
}


def sizes(lines: Sequence[Row], model: str = MODEL) -> list[Size]:
    of_line = RowSizes(find(model, DAY)).of_line
    return [of_line(json.dumps(line).encode() + b"\n") for line in lines]


def numbers(strata: Sequence[Stratum]) -> list[int]:
    return sorted(number for stratum in strata for number in stratum.drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pilot_of_20_of_10_000_small_rows_and_30_dear_ones_has_some_of_these(kind: str) -> None:
    small, dear = KINDS[kind]
    small_size, dear_size = sizes([small, dear])
    rows = [small_size] * 10_000 + [dear_size] * 30
    Random(1).shuffle(rows)
    for seed in range(5):
        strata = draw(rows, PILOT, str(seed))
        assert [stratum.rows for stratum in strata] == [30, 10_000]
        dear_rows, small_rows = strata[0].drawn, strata[1].drawn
        assert (len(dear_rows) >= 3, len(small_rows) >= 8, len(numbers(strata))) == (True, True, PILOT)
        assert {rows[number] for number in dear_rows} == {dear_size}
        assert {rows[number] for number in small_rows} == {small_size}


def test_files_that_lie_here_count_by_what_they_are() -> None:
    def see(uri: str) -> Seen:
        return Seen(seconds=5 if "short" in uri else 3_000)

    of_line = RowSizes(find(MODEL, DAY), see).of_line
    files = [part(fileData={"fileUri": f"local:{name}", "mimeType": "video/mp4"}) for name in ("short", "long")]
    short, long = (of_line(json.dumps(line).encode()) for line in files)
    assert long.likely > 10 * short.likely
    assert long.most - short.most == pytest.approx(long.likely - short.likely), "nothing of them is unknown"


def test_pictures_and_embeddings_have_sizes_too() -> None:
    picture = row("k", "A harbour.", image_config={"image_size": "4K"})
    small, large = sizes(
        [row("k", "A harbour.", image_config={"image_size": "512"}), picture], "gemini-3.1-flash-image"
    )
    assert large.likely > small.likely
    texts = [{"key": "k", "request": {"content": {"parts": [{"text": "harbour " * n}]}}} for n in (1, 100)]
    short, long = sizes(texts, "gemini-embedding-2")
    assert long.likely > 10 * short.likely


def test_the_same_content_draws_the_same_rows_and_another_seed_others() -> None:
    rows = [Size(n, n, n) for n in range(1, 1_001)]
    assert draw(rows, PILOT, "a") == draw(rows, PILOT, "a")
    assert numbers(draw(rows, PILOT, "a")) != numbers(draw(rows, PILOT, "b"))


def test_equal_rows_are_one_stratum_from_which_every_row_is_as_likely_drawn() -> None:
    rows = [Size(10, 10, 10)] * 100
    strata = draw(rows, PILOT, "a")
    assert [(stratum.rows, len(stratum.drawn)) for stratum in strata] == [(100, PILOT)]
    drawn = [number for seed in range(500) for number in numbers(draw(rows, PILOT, str(seed)))]
    counts = [drawn.count(number) for number in range(100)]
    assert (min(counts) > 65, max(counts) < 140) == (True, True), "100 are expected, give or take 9"


def test_rows_of_one_stratum_are_drawn_alike_whatever_their_exact_size() -> None:
    rows = [Size(10, 10, 10)] * 1_000 + [Size(12, 12, 12)] * 50
    strata = draw(rows, PILOT, "a")
    assert [stratum.rows for stratum in strata] == [1_050]
    larger = sum(number >= 1_000 for seed in range(300) for number in numbers(draw(rows, PILOT, str(seed))))
    assert 220 < larger < 360, "286 are expected, give or take 17"


@pytest.mark.parametrize("count", [2, 5, 20, 200])
@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0, 5.0])
def test_strata_hold_every_row_once_and_as_many_are_drawn_as_were_asked_for(count: int, spread: float) -> None:
    dice = Random(f"{count}/{spread}")
    rows = [Size(size, 2 * size, 9 * size) for size in (dice.lognormvariate(6, spread) for _ in range(400))]
    strata = draw(rows, count, "a")
    assert sum(stratum.rows for stratum in strata) == 400
    assert len(set(numbers(strata))) == count
    assert len(strata) <= {2: 1, 5: 2, 20: 4, 200: 6}[count]
    assert all(2 <= len(stratum.drawn) <= stratum.rows or stratum.rows == 1 for stratum in strata)
    share = [len(stratum.drawn) / count / (stratum.rows / 400) for stratum in strata]
    assert min(share) > 0.3, "no rows are left to a few of the sample"


def test_all_rows_can_be_drawn_and_not_more() -> None:
    rows = [Size(n, n, n) for n in range(1, 31)]
    assert numbers(draw(rows, 30, "a")) == [*range(30)]
    with pytest.raises(ValueError, match="fewer than 31"):
        draw(rows, 31, "a")


def test_one_row_that_is_most_of_the_size_is_drawn() -> None:
    rows = [Size(10, 10, 10)] * 1_000 + [Size(10_000, 10_000, 10_000)]
    first, rest = draw(rows, PILOT, "a")
    assert (first, rest.rows, len(rest.drawn)) == (Stratum(1, (1_000,)), 1_000, 19)


def test_a_kind_of_row_that_the_sample_cannot_have_seen_follows_the_rule_of_three() -> None:
    assert 1 / unseen_share(20) == pytest.approx(7.2, rel=0.01)
    assert unseen_share(300) == pytest.approx(3 / 300, rel=0.01)
    missed = sum(not any(Random(f"{seed}/{n}").random() < 0.14 for n in range(20)) for seed in range(1_000))
    assert missed < 70, "5 % of 1,000, give or take 7"


class Mixture(NamedTuple):
    """Rows of two kinds, how many tokens each kind writes, and how far its input is off what was counted."""

    kind: str
    small: int
    dear: int
    written: tuple[float, float]
    spread: float = 0.6
    off: tuple[float, float] = (1.1, 1.1)
    pilot: int = PILOT


MIXTURES = [
    Mixture("input", 990, 10, (300, 1_000)),
    Mixture("film", 990, 10, (300, 1_000), off=(1.1, 3)),
    Mixture("max_output_tokens", 990, 10, (60, 20_000)),
    Mixture("max_output_tokens", 900, 100, (60, 60)),
    Mixture("no max_output_tokens", 950, 50, (60, 4_000), spread=0.9),
    Mixture("thinking budget", 990, 10, (300, 15_000)),
    Mixture("max_output_tokens", 990, 10, (60, 20_000), pilot=5),
    Mixture("input", 1_000, 0, (300, 300), pilot=5),
    Mixture("input", 1_000, 0, (300, 300)),
    Mixture("input", 0, 60, (300, 300)),
]


def job(mixture: Mixture, dice: Random) -> tuple[list[Size], list[Measured]]:
    """The sizes of the rows of a job, and what each costs."""
    costs: list[tuple[Size, Measured]] = []
    small, dear = sizes(KINDS[mixture.kind])
    kinds = zip((small, dear), (mixture.small, mixture.dear), mixture.written, mixture.off, strict=True)
    for size, rows, median, off in kinds:
        expected = size.likely - 7_200 if size.likely > 7_300 else 30
        for _ in range(rows):
            output, asked = round(dice.lognormvariate(log(median), mixture.spread)), round(expected * off)
            costs.append((size, Measured(expected, asked, output, 0, asked * 3e-7, output * 25e-7)))
    dice.shuffle(costs)
    return [size for size, _ in costs], [cost for _, cost in costs]


@pytest.mark.parametrize(
    "mixture", MIXTURES, ids=lambda mixture: f"{mixture.kind}-{mixture.small}-{mixture.dear}-{mixture.pilot}"
)
def test_the_true_cost_of_a_mixture_lies_in_the_stated_interval_in_19_of_20_draws(mixture: Mixture) -> None:
    held, sum_of_likely, draws = 0, 0.0, 400
    for number in range(20):
        rows, costs = job(mixture, Random(f"{mixture}/{number}"))
        true = sum(cost.input_usd + cost.output_usd for cost in costs)
        expected = sum(cost.expected_input for cost in costs)
        for seed in range(draws // 20):
            strata = draw(rows, mixture.pilot, str(seed))
            sample = [costs[n]._replace(stratum=place) for place, stratum in enumerate(strata) for n in stratum.drawn]
            parts = tuple(stratum.rows for stratum in strata)
            cost = project(sample, Whole(len(rows), expected, strata=parts)).cost_usd
            held += cost.low <= true <= cost.high
            sum_of_likely += cost.likely / true
    assert held >= 0.95 * draws
    assert sum_of_likely / draws == pytest.approx(1, abs=0.05), "rows that are drawn more often do not weigh more"


def test_every_stratum_counts_by_its_rows() -> None:
    dear, small = Measured(10, 10, 1_000, 0, 0, 1.0, stratum=0), Measured(10, 10, 10, 0, 0, 0.01, stratum=1)
    cost = project([dear] * 10 + [small] * 10, Whole(1_020, 10_200, strata=(20, 1_000))).cost_usd
    assert cost.likely == pytest.approx(20 * 1.0 + 1_000 * 0.01)


def test_one_row_of_a_stratum_leaves_the_interval_wide_and_without_any_it_counts_with_its_neighbour() -> None:
    dear, small = Measured(10, 10, 1_000, 0, 0, 1.0, stratum=0), Measured(10, 10, 10, 0, 0, 0.01, stratum=1)
    whole = Whole(1_020, 10_200, strata=(20, 1_000))
    both, one = (project([dear] * rows + [small] * 10, whole).cost_usd for rows in (10, 1))
    assert one.likely == pytest.approx(both.likely)
    assert one.high > 2 * both.high
    assert project([small] * 10, whole).cost_usd.likely == pytest.approx(1_020 * 0.01)
    assert project([dear] * 10, whole).cost_usd.likely == pytest.approx(1_020)


def test_a_fee_that_no_row_of_a_stratum_had_may_be_that_of_its_other_rows() -> None:
    rows = [Measured(10, 10, 10, 0, 0, 0.01, stratum=0)] * 3 + [Measured(10, 10, 10, 0, 0, 0.01, stratum=1)] * 17
    plain, strata = (project(rows, Whole(1_020, 10_200, None, 0.01, parts)) for parts in ((), (20, 1_000)))
    assert plain.cost_usd.high == pytest.approx(10.2 + 3 / 20 * 1_000 * 0.01, rel=0.01)
    assert strata.cost_usd.high == pytest.approx(10.2 + 3 / 17 * 983 * 0.01, rel=0.01)
