"""The Gemini models: which exist, what they make, which can run in a batch, and when they end."""

import tomllib
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field

from genai_batch.resources.answers import Answer, Problem
from genai_batch.resources.errors import UnknownModel

ModelKind = Literal["text", "image", "speech", "embedding"]


class Model(Answer):
    """A Gemini model that can run in a batch. Source: `models.toml`."""

    name: Annotated[str, Field(description="Bare id, without models/")]
    kind: ModelKind = "text"
    ends: Annotated[date | None, Field(description="Day of shutdown, where announced")] = None
    next: Annotated[str | None, Field(description="What to use after that day")] = None
    fixed_sampling: Annotated[bool, Field(exclude=True)] = False
    """Ignores temperature, top_p and top_k."""
    ends_with_user: Annotated[bool, Field(exclude=True)] = False
    """Refuses contents whose last turn is the model's."""
    levels: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    """Thinking levels it takes; empty where it is all of them."""
    budget: Annotated[tuple[int, int] | None, Field(exclude=True)] = None
    """Least and most `thinking_budget` of models before Gemini 3."""
    can_rest: Annotated[bool, Field(exclude=True)] = False
    """Whether a budget of 0 switches thinking off."""
    ratios: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    """Aspect ratios of the pictures it makes; empty where they are not known."""
    sizes: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    """Sizes of them, the same."""
    most_output: Annotated[int, Field(exclude=True)] = 65_536
    """Tokens of the longest answer."""

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def era(self) -> float:
        """The generation in the name (2.0, 2.5, 3.0 …), which decides how media is counted; without one the newest."""
        return _era(self.name)

    @property
    def thinks(self) -> bool:
        """Whether it spends thinking tokens unless told not to."""
        return self.kind == "text" and self.era >= 2.5 and "2.5-flash-lite" not in self.name


@lru_cache(256)
def _era(name: str) -> float:
    word = name.removeprefix("gemini-").partition("-")[0]
    return float(word) if word.replace(".", "", 1).isdigit() and float(word) < 100 else 3.0


@cache
def catalogue() -> dict[str, Any]:
    """Read the data file, once."""
    return tomllib.loads(files("genai_batch.resources").joinpath("models.toml").read_text("utf-8"))


def known() -> list[Model]:
    """Every model of the data file, ended ones too."""
    return [Model.model_validate({"name": name, **facts}) for name, facts in catalogue()["models"].items()]


def find(name: str, today: date) -> Model:
    """Look a model up by id, with or without `models/`.

    Raises:
        UnknownModel: not known, ended, or unable to run in a batch.
    """
    bare = name.strip().removeprefix("models/").lower()
    _refuse_unbatchable(bare)
    facts = catalogue()["models"].get(bare)
    current = [m.name for m in known() if not m.ends or m.ends > today]
    if facts is None and not _priced(bare):
        raise UnknownModel(name, current)
    model = Model.model_validate({"name": bare, **(facts or {"kind": _kind(bare)})})
    if model.ends and model.ends <= today:
        raise UnknownModel(bare, why=f"{bare} was shut down on {model.ends}", advice=f"Use {model.next}.")
    return model


def allowance(model: str, tier: int) -> int:
    """Input tokens that may wait in all batches of a model on a usage tier (1 to 3)."""
    by_name: dict[str, list[int]] = catalogue()["allowance"]
    tiers = next(
        (tiers for name, tiers in by_name.items() if model.removeprefix("models/").startswith(name)), by_name["gemini-"]
    )
    return tiers[tier - 1]


def warning(model: Model) -> Problem | None:
    """Say when the model is about to end, or is one today and another tomorrow."""
    if model.name.endswith("-latest"):
        text = (
            f"{model.name} is a name that moves: the model behind it, and its price, can change before the batch runs."
        )
        return Problem(problem=text, fix="name a model of batch://models")
    if model.ends is None:
        return None
    text = f"{model.name} ends on {model.ends}; a batch may still be running then."
    return Problem(problem=text, fix=f"use {model.next}")


def _refuse_unbatchable(name: str) -> None:
    for part, why in catalogue()["unbatchable"].items():
        if part in name:
            raise UnknownModel(name, why=f"{name} cannot run in a batch: {why}", advice=UnknownModel.advice)


def _priced(name: str) -> bool:
    from genai_batch.resources import prices  # genai-prices takes 0.2 s to import

    return name.startswith("gemini-") and prices.is_listed(name)


def _kind(name: str) -> ModelKind:
    marks: dict[str, ModelKind] = {"image": "image", "banana": "image", "tts": "speech", "embedding": "embedding"}
    kinds: list[ModelKind] = [kind for mark, kind in marks.items() if mark in name]
    return kinds[0] if kinds else "text"
