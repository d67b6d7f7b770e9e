"""Input tokens of a row that was read exactly; of its long texts windows are counted, as `sampling` does."""

from collections.abc import Callable
from typing import Any

from genai_batch.resources.models import Model
from genai_batch.resources.preflight.sampling import WINDOW, Kinds, of_texts
from genai_batch.resources.tokens.counting import by_kind
from genai_batch.resources.tokens.media import See, unseen
from genai_batch.resources.untyped import as_list, as_object, is_list, is_object


def of_row(request: dict[str, Any], model: Model, *, whole: bool, see: See = unseen) -> Kinds:
    """Tokens by kind of a request, every sign of it where `whole`; `see` knows files that are only named."""
    if whole:
        return by_kind(request, model, see=see)
    long: list[str] = []
    silent = by_kind(_trimmed(request, long.append), model, see=see)
    return of_texts(long, silent) if long else silent


def _trimmed(request: dict[str, Any], keep: Callable[[str], None]) -> dict[str, Any]:
    """Leave long texts out, handing them over."""
    name = "contents" if "contents" in request else "content"
    held = request.get(name)
    if is_list(held):
        return {**request, name: [_trimmed_turn(turn, keep) for turn in held]}
    return {**request, name: _trimmed_turn(held, keep)}


def _trimmed_turn(turn: Any, keep: Callable[[str], None]) -> Any:
    if not is_object(turn):
        return turn
    return {**turn, "parts": [_trimmed_part(part, keep) for part in as_list(turn.get("parts"))]}


def _trimmed_part(part: Any, keep: Callable[[str], None]) -> Any:
    text = as_object(part).get("text")
    if not isinstance(text, str) or len(text) <= 2 * WINDOW:
        return part
    keep(text)
    return {**part, "text": ""}
