"""Pairs of something sent to Gemini and the tokens it cost: `{text or request, model, tokens, …}`, one a line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genai_batch.resources.models import Model
from genai_batch.resources.tokens import media as media_rules
from genai_batch.resources.tokens.counting import by_kind, of_request
from genai_batch.resources.tokens.declared import Declared, Provider, of_call, way
from genai_batch.resources.tokens.headers import Seen
from genai_batch.resources.tokens.text import of_text
from genai_batch.resources.untyped import as_list, as_object, field, is_object, items

MEDIA = ("image", "audio", "video", "pdf")


@dataclass(frozen=True)
class Pair:
    """One pair; everything but text or request, model and tokens may be missing."""

    raw: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.raw.get("kind") or ("prompt" if self.request else "text"))

    @property
    def language(self) -> str:
        return str(self.raw.get("language") or "-")

    @property
    def tokens(self) -> float:
        return float(self.raw["tokens"])

    @property
    def text(self) -> str:
        return str(self.raw.get("text") or "")

    @property
    def request(self) -> dict[str, Any]:
        return as_object(self.raw.get("request"))

    @property
    def model(self) -> Model:
        return Model(name=str(self.raw["model"]).removeprefix("models/"))

    @property
    def provider(self) -> Provider:
        return "vertex" if self.raw.get("provider") == "vertex" else "developer"

    @property
    def sent(self) -> dict[str, Any]:
        """The request; where only its text is known, one turn that says it."""
        return self.request or {"contents": [{"parts": [{"text": self.text}]}]}

    @property
    def turns(self) -> float:
        """Tokens of the turns as such."""
        return 0 if self.kind in ("response", "text") else by_kind(self.sent, self.model, self.provider).get("turns", 0)

    @property
    def texts(self) -> list[str]:
        """Every text it holds."""
        if self.kind in ("response", "text"):
            return [self.text]
        turns = [*items(self.sent.get("contents")), *items(field(self.sent, "system_instruction"))]
        parts = [part for turn in turns for part in items(as_object(turn).get("parts"))]
        return [str(part["text"]) for part in map(as_object, parts) if "text" in part]

    @property
    def calls(self) -> list[Declared]:
        """Function calls of an answer that is nothing else."""
        if not self.raw.get("function_call"):
            return []
        parts = as_list(json.loads(self.text))
        return [of_call(as_object(as_object(part).get("functionCall"))) for part in parts]

    def estimate(self) -> float | None:
        """What is counted offline; None where a medium's size is not in the pair."""
        if self.kind in MEDIA:
            return self._medium()
        if self.kind in ("response", "text"):
            how = way(self.model, self.provider)
            return sum(call.tokens(how) for call in self.calls) if self.calls else of_text(self.text)
        return of_request(self.sent, self.model, self.provider)

    def _medium(self) -> float | None:
        each = [self._item(as_object(item)) for item in as_list(self.raw.get("media")) or [self.raw]]
        return None if None in each else sum(one for one in each if one is not None)

    def _item(self, item: dict[str, Any]) -> float | None:
        size: list[Any] = as_list(item.get("pagesize")) or [item.get("width"), item.get("height")]
        modality = media_rules.modality_of("application/pdf" if self.kind == "pdf" else f"{self.kind}/x")
        sound = self.kind != "video" or bool(self.raw.get("media"))
        seen = Seen(size[0], size[1], item.get("seconds"), item.get("pages"), sound, float(item.get("fps") or 1))
        level = media_rules.level_of(item.get("res"), "high" if "RESOLUTION_HIGH" in self.text else None)
        found = media_rules.of_seen(modality, seen, self.model, self.provider, level)
        if not found.measured:
            return None
        return found.tokens if self.kind == "audio" else found.tokens - found.sound

    def known(self) -> bool:
        """Whether the estimator was told enough to be judged."""
        return self.estimate() is not None


def read(path: Path) -> list[Pair]:
    """Read a file of pairs.

    Raises:
        ValueError: a line is not a pair.
    """
    pairs: list[Pair] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        value = json.loads(line)
        if not is_object(value) or not {"model", "tokens"} <= value.keys() or not {"text", "request"} & value.keys():
            raise ValueError(f"{path}:{number}: not an object with text or request, model and tokens")
        pairs.append(Pair(value))
    return pairs
