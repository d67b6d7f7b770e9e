"""The Gemini models: which exist, what they make, which can run in a batch, and when they end."""

import tomllib
from datetime import date, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field

from genai_batch.resources.answers import Answer, Problem, brief
from genai_batch.resources.errors import UnknownModel

ModelKind = Literal["text", "image", "speech", "embedding"]
BATCH_LIFE = timedelta(days=2)
"""How long a batch may wait and run before Gemini gives it up."""


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
    flex: Annotated[bool, Field(exclude=True)] = False
    """Whether it is served at the flex tier."""

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

    @property
    def most_output(self) -> int:
        """Tokens of the longest answer, thinking included."""
        return catalogue()["most_output"][self.kind]

    @property
    def most_input(self) -> int:
        """Tokens that one request may bring along."""
        return catalogue()["most_input"][self.kind]


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
    """Look a model up by its exact id or a listed alias, with or without `models/`.

    Raises:
        UnknownModel: not known, ended, tuned, or unable to run in a batch.
    """
    bare = name.strip().removeprefix("models/").lower()
    if bare.startswith("tunedmodels/") or bare.endswith("-tuned"):
        reason = f"{brief(name, 120)} is a tuned model, for which no price is known"
        raise UnknownModel(bare, why=reason, advice="Use the model that it was tuned from.")
    _refuse_unbatchable(bare)
    facts = catalogue()["models"].get(bare) or _facts_of_alias(bare)
    current = [model.name for model in known() if not model.ends or model.ends > today]
    if facts is None:
        raise _unknown(name, bare, current)
    model = Model.model_validate({"name": bare, **facts})
    if model.ends and model.ends <= today:
        raise UnknownModel(bare, why=f"{bare} was shut down on {model.ends}", advice=f"Use {model.next}.")
    return model


def kind_of(name: str) -> ModelKind:
    """What a model makes, known or not, ended or not."""
    bare = name.removeprefix("models/")
    facts = catalogue()["models"].get(bare)
    return facts.get("kind", "text") if facts else _kind(bare)


def _unknown(name: str, bare: str, current: list[str]) -> UnknownModel:
    """Say why there is no such model, naming the nearest."""
    if "/" in bare:
        reason = f"No model {brief(name, 120)!r}: write the bare id, without a path"
        return UnknownModel(bare.rpartition("/")[2], current, why=reason)
    if _is_withdrawn(bare):
        return UnknownModel(bare, current, why=f"{bare} was withdrawn by Google")
    shorter = max((model for model in current if bare.startswith(f"{model}-")), key=len, default=None)
    another = f"; {shorter} is another" if shorter else ""
    return UnknownModel(bare, current, why=f"No model {brief(name, 120)!r}{another}")


def _facts_of_alias(name: str) -> dict[str, Any] | None:
    """What is known of a model by another name that the price list gives it."""
    from genai_batch.resources import prices  # genai-prices takes 0.2 s to import

    if not name.startswith("gemini-") or (listed := prices.listed(name)) is None:
        return None
    facts = catalogue()["models"].get(listed.id)
    if facts is None and listed.deprecated:
        return None
    return facts or {"kind": _kind(name)}


def _is_withdrawn(name: str) -> bool:
    from genai_batch.resources import prices  # as above

    listed = prices.listed(name)
    return listed is not None and bool(listed.deprecated)


def allowance(model: str, tier: int) -> int:
    """Input tokens that may wait in all batches of a model on a usage tier (1 to 3)."""
    by_name: dict[str, list[int]] = catalogue()["allowance"]
    tiers = next(
        (tiers for name, tiers in by_name.items() if model.removeprefix("models/").startswith(name)), by_name["gemini-"]
    )
    return tiers[tier - 1]


def warning(model: Model) -> Problem | None:
    """Say when the model is one today and another tomorrow."""
    if not model.name.endswith("-latest"):
        return None
    text = f"{model.name} is a name that moves: the model behind it, and its price, can change before the batch runs."
    return Problem(problem=text, fix="name a model of batch://models")


def ending(model: Model, lane: str, today: date) -> Problem | None:
    """Say when the model ends, and whether it may do so before a job that starts today."""
    if model.ends is None:
        return None
    if model.ends > _last_day(lane, today):
        return Problem(problem=f"{model.name} ends on {model.ends}.", fix=f"use {model.next}")
    life = "a batch may take 48 h" if lane == "batch" else "this job may still run then"
    text = f"{model.name} ends on {model.ends}, before this job must be done: {life}. Rows that run later fail, or"
    return Problem(problem=f"{text} {model.next} answers and bills them.", fix=f"use {model.next}")


def ends_first(model: Model, lane: str, today: date) -> bool:
    """Whether the model may end before a job does that starts today."""
    return model.ends is not None and today <= model.ends <= _last_day(lane, today)


def _last_day(lane: str, today: date) -> date:
    """The last day on which a job that starts today may run."""
    return today + (timedelta(days=1) if lane == "live" else BATCH_LIFE)


def _refuse_unbatchable(name: str) -> None:
    for part, why in catalogue()["unbatchable"].items():
        if part in name:
            raise UnknownModel(name, why=f"{name} cannot run in a batch: {why}", advice=UnknownModel.advice)


def _kind(name: str) -> ModelKind:
    marks: dict[str, ModelKind] = {"image": "image", "banana": "image", "tts": "speech", "embedding": "embedding"}
    kinds: list[ModelKind] = [kind for mark, kind in marks.items() if mark in name]
    return kinds[0] if kinds else "text"
