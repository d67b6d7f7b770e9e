"""The models that can run in a batch, with what they cost."""

from datetime import date
from typing import Annotated

from pydantic import Field

from genai_batch.resources import prices
from genai_batch.resources.answers import Answer
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.models import Model, ModelKind, known


class ModelLine(Answer):
    """A model and what a million of its tokens cost in USD in the batch lane; flex costs the same, live twice that."""

    model: str
    kind: ModelKind
    batch_input: float
    batch_output: float
    flex: Annotated[bool | None, Field(description="Whether it has the flex lane")] = None
    ends: date | None = None
    next: str | None = None


class ModelList(Answer):
    """The models that can run in a batch today."""

    models: list[ModelLine]
    checked: date
    source: str


def models(today: date) -> ModelList:
    """List what can run in a batch, with prices."""
    lines = [_line(model, today) for model in known() if not model.ends or model.ends > today]
    return ModelList(models=[line for line in lines if line], checked=today, source="genai-prices")


def _line(model: Model, today: date) -> ModelLine | None:
    try:
        rate = prices.rates(model.name, "batch", today)
    except UnknownModel:
        return None
    output = rate.image_output if model.kind == "image" else rate.output
    return ModelLine(
        model=model.name,
        kind=model.kind,
        batch_input=float(rate.input * 10**6),
        batch_output=float(output * 10**6),
        flex=model.flex or None,
        ends=model.ends,
        next=model.next,
    )
