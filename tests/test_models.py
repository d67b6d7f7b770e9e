"""A model is known by its exact name or a listed alias, and everything else is an error that names what is near."""

import json
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from genai_batch.resources import estimates, models, prices
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import find
from genai_batch.resources.requests import Preflight
from tests.built import manifest
from tests.world import World, call, read, refusal, row, start

DAY = date(2026, 11, 20)
FLASH = "gemini-3.8-flash"
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gemini-3.8-flash-image", ("No model 'gemini-3.8-flash-image'", f"{FLASH} is another", "batch://models")),
        ("gemini-3.8-flash-foo", ("No model", f"Did you mean '{FLASH}'")),
        ("gemini-3.8-flash-lite-image", ("No model", "gemini-3.1-flash-lite-image")),
        ("gemini-3.8-flash-001", ("No model", f"Did you mean '{FLASH}'")),
        ("gemini-3.8-flash-latest", ("No model", f"{FLASH} is another")),
        ("gemini-3.8-flas", ("No model", f"'{FLASH}'")),
        ("gemini-3.6-flash-preview", ("No model", "gemini-3-flash-preview")),
        ("gemini-3.1-pro-preview-customtools", ("No model", "gemini-3.1-pro-preview")),
        ("gemini-2.5-pro-exp", ("No model", "gemini-2.5-pro")),
        ("publishers/google/models/gemini-3.8-flash", ("without a path", f"'{FLASH}'")),
        ("google/gemini-3.8-flash", ("without a path", f"'{FLASH}'")),
        ("models/models/gemini-3.8-flash", ("without a path", f"'{FLASH}'")),
        ("gemini-2.0-flash", ("was shut down on 2026-06-01", "Use gemini-3.5-flash-lite")),
        ("models/gemini-1.5-pro", ("was shut down on 2025-09-24", f"Use {FLASH}")),
        ("gemini-2.5-flash-image-preview", ("was shut down on 2026-10-02", "gemini-3.1-flash-lite-image")),
        ("gemini-2.5-flash-preview", ("withdrawn by Google", "gemini-3-flash-preview")),
        ("tunedModels/mine-123", ("tuned model, for which no price is known", "that it was tuned from")),
        ("models/gemini-3.8-flash-tuned", ("tuned model", "that it was tuned from")),
        ("gemini-3.8-flash-live", ("cannot run in a batch",)),
        ("gemma-4-31b-it", ("No model",)),
        ("gpt-5", ("No model",)),
        ("", ("No model ''",)),
    ],
)
async def test_what_is_no_model_is_an_error_with_what_is_near(world: World, name: str, words: tuple[str, ...]) -> None:
    async with world.client() as client:
        said = await refusal(client, "estimate_cost", source=world.write("a.jsonl", [row("k")]), model=name)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (FLASH, FLASH),
        (f"models/{FLASH}", FLASH),
        ("GEMINI-3.8-Flash", FLASH),
        (f"  {FLASH} \n", FLASH),
        ("gemini-flash-latest", FLASH),
        ("models/gemini-pro-latest", "gemini-3.1-pro-preview"),
        ("gemini-flash-lite-latest", "gemini-3.5-flash-lite"),
        ("gemini-embedding-2-preview", "gemini-embedding-2"),
    ],
)
def test_a_model_and_its_aliases_have_the_price_of_the_model(name: str, entry: str) -> None:
    model = find(name, DAY)
    assert prices.rates(model.name, "batch", DAY) == prices.rates(entry, "batch", DAY)
    assert (model.kind, model.levels, model.fixed_sampling) == (
        (known := find(entry, DAY)).kind,
        known.levels,
        known.fixed_sampling,
    )


def test_a_price_is_asked_for_by_the_exact_name_too() -> None:
    for name in (
        "gemini-3.8-flash-image",
        "gemini-3.8-flash-foo",
        "gemini-2.5-pro-002",
        "gemini-3.1-flash-lite-image-x",
    ):
        with pytest.raises(UnknownModel, match="no price"):
            prices.rates(name, "batch", DAY)


def test_a_tier_has_its_factor_live_and_none_in_a_batch() -> None:
    live = prices.rates(FLASH, "live", DAY)
    assert prices.rates(FLASH, "live", DAY, tier="flex").output == live.output / 2
    assert prices.rates(FLASH, "live", DAY, tier="priority").output / live.output == prices.Decimal("1.75")
    assert prices.dearest_rates(FLASH, "live", DAY, tier="priority").output == 2 * live.output
    assert prices.rates(FLASH, "batch", DAY, tier="priority") == prices.rates(FLASH, "batch", DAY)
    assert prices.rates(FLASH, "flex", DAY) == prices.rates(FLASH, "live", DAY, tier="flex")
    assert prices.rates(FLASH, "flex", DAY, tier="standard") == live
    assert prices.rates("gemini-flash-latest", "flex", DAY) == prices.rates(FLASH, "flex", DAY), "an alias has it too"
    with pytest.raises(UnknownModel, match="service tier flex"):
        prices.rates("gemini-3.6-flash", "live", DAY, tier="flex")


@pytest.mark.parametrize(
    ("settings", "model", "word"),
    [
        ({"response_modalities": ["IMAGE"]}, FLASH, "pictures by gemini-3.8-flash"),
        ({"response_modalities": ["TEXT", "AUDIO"]}, FLASH, "speech by gemini-3.8-flash"),
    ],
)
def test_a_medium_without_a_price_is_named(tmp_path: Path, settings: dict[str, Any], model: str, word: str) -> None:
    source = World(tmp_path, tmp_path).write("a.jsonl", [row("k", **settings)])
    found = Preflight(tmp_path / source, find(model, DAY)).run()
    with pytest.raises(UnknownModel, match=f"no price is known for {word}"):
        estimates.estimate(found, "batch", DAY, "emulator")


async def test_rows_of_a_tier_that_has_no_price_are_named_by_line(world: World) -> None:
    good, bad = row("a"), row("b")
    bad["request"]["serviceTier"] = "turbo"
    async with world.client() as client:
        found = await call(client, "estimate_cost", source=world.write("a.jsonl", [good, bad]), model=FLASH)
        assert [(each["line"], each["problem"]) for each in found["problems"]] == [(2, "no such service_tier 'turbo'")]
        bad["request"]["serviceTier"] = "flex"
        found = await call(client, "estimate_cost", source=world.write("a.jsonl", [good, bad]), model=FLASH)
        assert any("1 rows name a service_tier, which a batch ignores" in each["problem"] for each in found["warnings"])


def test_a_model_that_ends_before_a_job_can_is_said_first() -> None:
    model = find("gemini-2.5-flash", DAY)
    assert model.ends is not None
    for lane, days, urgent in (
        ("batch", 2, True),
        ("batch", 3, False),
        ("live", 1, True),
        ("live", 2, False),
        ("flex", 2, True),
    ):
        said = models.ending(model, lane, model.ends - timedelta(days=days))
        assert said
        assert ("before this job must be done" in said.problem) == urgent
        assert "gemini-3.5-flash-lite" in (said.fix or "")
    assert models.ending(find(FLASH, DAY), "batch", DAY) is None
    with pytest.raises(UnknownModel, match="was shut down on 2026-12-01"):
        find("gemini-2.5-flash", model.ends)


async def test_the_estimate_of_a_model_that_ends_begins_with_that(world: World) -> None:
    world.time += 10 * 86_400
    async with world.client() as client:
        asked = {"source": world.write("a.jsonl", [row("k")]), "model": "gemini-2.5-flash"}
        assert (
            "before this job must be done" in (await call(client, "estimate_cost", **asked))["warnings"][0]["problem"]
        )
        held = await refusal(client, "create_batch", **asked)
        assert "ends on 2026-12-01, before this job must be done" in held
        assert "Nothing was sent. Ask the user" in held
        items = [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x", "model": "gemini-2.5-flash"}]
        staged = manifest(world, items=items)
        assert "before this job must be done" in await refusal(client, "create_batch", source=staged)
        assert await world.bill() == []
        await start(client, asked["source"], model="gemini-2.5-flash", confirm=True)
        world.time += 86_400
        assert "was shut down" in await refusal(client, "create_batch", **asked)


async def test_the_command_prints_what_the_resource_holds(world: World) -> None:
    world.time = time.time()
    async with world.client() as client:
        listed = await read(client, "batch://models")
    command = [sys.executable, "-m", "genai_batch", "models"]
    printed, table = (
        subprocess.run([*command, *more], capture_output=True, text=True, env=world.env(), check=True).stdout
        for more in (["--json"], [])
    )
    assert json.loads(printed) == listed
    assert [line.split()[0] for line in table.splitlines()[:-1]] == [model["model"] for model in listed["models"]]
