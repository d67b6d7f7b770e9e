"""What one row writes: assumed from its shape and model, since nobody knows before. Thinking is output."""

from typing import NamedTuple

from genai_batch.resources.models import Model
from genai_batch.resources.outputs_data import assumed, data
from genai_batch.resources.shapes import Shape
from genai_batch.resources.triples import Triple

_LEAST_PRO = 128
_OFF = ("none", "off")


class Written(NamedTuple):
    """Tokens of one row's answer by what they are; `media` has its own price."""

    text: Triple = Triple()
    thinking: Triple = Triple()
    media: Triple = Triple()

    @property
    def all(self) -> Triple:
        """Everything that is billed as output."""
        return Triple.sum(self)


def written(shape: Shape, model: Model, input_tokens: float) -> Written:
    """What a row of this shape writes, its input being so long."""
    if model.kind == "embedding":
        return Written()
    if shape.media:
        return _media(shape, model, input_tokens)
    answer = shape.answer or Triple(*assumed("answer", "text"))
    return _bounded(answer.times(shape.candidates), _thinking(shape, model), shape)


class MostWritten(NamedTuple):
    """Tokens that one row can write: text with its thinking, the part of it that may be thinking, and media."""

    text: float = 0
    thinking: float = 0
    media: float = 0


def most_written(shape: Shape, model: Model) -> MostWritten:
    """The longest answer to a row of this shape: up to its limit, against which thinking counts, or the model's own."""
    if model.kind == "embedding":
        return MostWritten()
    limit = float((shape.bound or model.most_output) * shape.candidates)
    if shape.media == "AUDIO":
        return MostWritten(media=limit)
    thinking = 0 if shape.media else _thinking(shape, model).high
    if thinking and not isinstance(shape.thinking, int):
        thinking = limit
    media = max(_picture_sizes(shape, model)) * shape.candidates if shape.media else 0
    return MostWritten(limit, min(thinking, limit), media)


def _picture_sizes(shape: Shape, model: Model) -> list[float]:
    """Tokens of the pictures that may come: of the size that is asked for, else of every size."""
    sizes = next(sizes for name, sizes in data()["image"].items() if model.name.startswith(name) or name == "gemini-")
    asked = sizes.get(shape.image_size.upper())
    return [*sizes.values()] if asked is None else [asked]


def _media(shape: Shape, model: Model, input_tokens: float) -> Written:
    if shape.media == "AUDIO":
        rate = Triple(*assumed("media", "speech_per_token"))
        return Written(media=rate.times(max(input_tokens, 1) * shape.candidates).at_most(shape.bound))
    tokens = float(max(_picture_sizes(shape if shape.image_size else shape._replace(image_size="1K"), model)))
    media = Triple(0.9 * tokens, tokens, tokens).times(shape.candidates)
    caption = Triple(*assumed("media", "caption")) if shape.caption else Triple()
    return Written(text=caption.at_most(shape.bound), media=media)


def _thinking(shape: Shape, model: Model) -> Triple:
    if isinstance(shape.thinking, int) and model.era >= 2.5:
        return _budgeted(max(shape.thinking, _LEAST_PRO if "pro" in model.name else 0), model)
    if not model.thinks or shape.thinking in _OFF:
        return Triple()
    default = "high" if model.era >= 3 and "pro" in model.name else "dynamic"
    level = shape.thinking if shape.thinking in data()["thinking"] else default
    return Triple(*assumed("thinking", str(level)))


def _budgeted(budget: int, model: Model) -> Triple:
    likely = assumed("thinking", "dynamic")[1]
    slack = 1.1 if model.era >= 3 else 1.0
    return Triple(0, min(budget * 0.7, likely), budget * slack)


def _bounded(answer: Triple, thinking: Triple, shape: Shape) -> Written:
    """Thinking and answer share the bound, thinking first; unbounded they share what is plausible at most."""
    most = shape.bound and float(shape.bound * shape.candidates)
    thought = thinking.at_most(most)
    if most is None:
        return Written(answer, thought._replace(high=max(thought.high, thought.likely)))
    rest = (max(most - used, 0) for used in thought)
    text = Triple(*(min(end, left) for end, left in zip(answer, rest, strict=True)))
    high = min(answer.high + thought.high, most)
    return Written(text._replace(high=high - thought.high, low=min(answer.low, max(most - thought.low, 0))), thought)
