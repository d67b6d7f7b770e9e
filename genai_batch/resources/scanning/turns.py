"""The turns of a request that holds more than text, judged by what decides the verdict on each part.

It knows files, inline media, and calls of functions with their responses. Whatever else there is, and whatever may be
a fault, is left to the rules themselves: then it says nothing.
"""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from genai_batch.resources import lint
from genai_batch.resources.lint import Fault, media
from genai_batch.resources.lint.fields import KINDS, OPEN, PART
from genai_batch.resources.lint.turns import sequence
from genai_batch.resources.local_files import PREFIX
from genai_batch.resources.models import Model
from genai_batch.resources.scanning.json_pieces import FAILURES, encode, is_deep, repeats_member
from genai_batch.resources.tokens.counting import put_medium
from genai_batch.resources.tokens.media import (
    UNSEEN,
    Resolution,
    See,
    clip_of,
    is_youtube,
    level_of,
    of_file,
    of_inline,
    unseen,
)
from genai_batch.resources.untyped import as_object, field, is_list, is_object

Kinds = dict[str, float]
_ROLES = (None, "user", "model", "function")
_ENTRIES = 4_096
_FILMS = ("video", UNSEEN["video"])
_COMPANIONS = frozenset({"thought", "thought_signature"})
_FLAT = (str, bool, int, float)


class Said(NamedTuple):
    """The doubts about turns, or about a part, without a fault, and the tokens of the media there."""

    doubts: tuple[Fault, ...]
    media: Kinds
    is_text: bool = False
    """Whether they hold nothing but text."""


class _Form(NamedTuple):
    """What a part is, the name it has for that, and whether all else that it holds is known well."""

    kind: str
    name: str
    companions: tuple[str, ...] | None


_CALL = Said((), {})


class _Call(Struct, forbid_unknown_fields=True, gc=False):
    """A call of a function, or what that gave back."""

    name: str
    args: dict[str, Any] | UnsetType = UNSET
    response: dict[str, Any] | UnsetType = UNSET
    id: str | UnsetType = UNSET


_call = msgspec.json.Decoder(_Call).decode
_file = msgspec.json.Decoder(dict[str, str]).decode


class TurnsMemo:
    """Judges turns for one model; `see` knows files that are only named."""

    def __init__(self, model: Model, see: See = unseen) -> None:
        """Know nothing yet."""
        self._model, self._see = model, see
        self._forms: dict[Hashable, _Form | None] = {}
        self._files: dict[Hashable, Said | None] = {}
        self._orders: dict[Hashable, tuple[Fault, ...] | None] = {}

    def judge(self, turns: Any, level: Resolution | None) -> Said | None:
        """What there is to say of turns, or None if the rules have to; `level` is that of the media in them."""
        if not is_list(turns) or not turns:
            return None
        parts: list[Said] = []
        for turn in turns:
            if not is_object(turn) or not is_list(held := turn.get("parts")):
                return None
            if (
                turn.get("role") not in _ROLES
                or len(turn) != 1 + ("role" in turn)
                or not self._parts(held, level, parts)
            ):
                return None
        doubts = self.order(tuple([turn.get("role", 0) for turn in turns]))
        if doubts is None or (len(parts) > media.VIDEOS and holds_films(parts)):
            return None
        return together(parts, doubts) if parts else Said(doubts, {}, is_text=True)

    def _parts(self, held: list[Any], level: Resolution | None, parts: list[Said]) -> bool:
        """Judge the parts of a turn; those that are not text go to `parts`. Whether that could be done."""
        is_empty = True
        for part in held:
            if not is_object(part):
                return False
            if len(part) == 1 and isinstance(text := part.get("text"), str):
                is_empty = is_empty and not text
                continue
            is_empty = False
            if (said := self.part(part, level)) is None:
                return False
            parts.append(said)
        return not is_empty

    def order(self, roles: tuple[str | int | None, ...]) -> tuple[Fault, ...] | None:
        """The doubts about the roles of turns, 0 where one has none; None where there is a fault."""
        if self._model.kind == "embedding":
            return ()
        if roles not in self._orders:
            verdict = lint.verdict(sequence([{} if role == 0 else {"role": role} for role in roles], self._model))
            _put(self._orders, roles, None if verdict.faults else verdict.doubts)
        return self._orders[roles]

    def part(self, part: dict[str, Any], level: Resolution | None) -> Said | None:
        """What there is to say of a part, or None if the rules have to."""
        names = tuple(part)
        if names not in self._forms:
            _put(self._forms, names, _form(names))
        form = self._forms[names]
        if form is None:
            return None
        value = part[form.name]
        if form.companions is None or not _are_flat([part[name] for name in form.companions]):
            return self._odd(part, form, value, level)
        if form.kind == "file_data" and is_object(value):
            return self._file(part, names, value, level)
        if form.kind == "text":
            return _CALL if isinstance(value, str) else None
        if form.kind in ("function_call", "function_response") and is_object(value) and _is_plain_call(value):
            return _CALL
        return self._odd(part, form, value, level)

    def piece(self, name: str, piece: bytes, level: Resolution | None) -> Said | None:
        """The same of a part that is no more than a call, a response or a file; a member may stand twice in it."""
        try:
            if (plain := lint.snake(name)) == "file_data":
                file = _file(piece)
                return self._file({name: file}, (name,), file, level) if piece.count(b'"') == 4 * len(file) else None
            call = _call(piece)
        except FAILURES:
            return None
        if plain not in ("function_call", "function_response") or is_deep(piece):
            return None
        return None if repeats_member(piece, encode(call).count(b'"')) else _CALL

    def _file(
        self, part: dict[str, Any], names: tuple[str, ...], file: dict[str, Any], level: Resolution | None
    ) -> Said | None:
        uri = field(file, "file_uri")
        if not isinstance(uri, str) or not _are_flat(file.values()) or uri.startswith(PREFIX):
            return self._media(part, level)
        kind = names, tuple(file), field(file, "mime_type"), _place(uri), level
        if kind not in self._files:
            _put(self._files, kind, self._media(part, level))
        return self._files[kind]

    def _odd(self, part: dict[str, Any], form: _Form, value: Any, level: Resolution | None) -> Said | None:
        """What there is to say of a part that may hold objects of any kind."""
        if form.kind in ("inline_data", "file_data"):
            return self._media(part, level)
        is_wrong = (
            None in part.values()
            or lint.shape({"request": part}).clash
            or (form.kind == "text" and not isinstance(value, str))
        )
        return None if is_wrong else _CALL

    def _media(self, part: dict[str, Any], level: Resolution | None) -> Said | None:
        """What the rules say of a part that holds media, and its tokens."""
        given = {lint.snake(name): value for name, value in part.items()}
        verdict = lint.verdict(media.of_part(given, self._model))
        if verdict.faults or None in part.values() or lint.shape({"request": part}).clash:
            return None
        level = level_of(given.get("media_resolution"), level)
        blob, file = as_object(given.get("inline_data")), as_object(given.get("file_data"))
        clip = clip_of(part)
        if blob:
            medium = of_inline(blob, self._model, "developer", level, clip)
        else:
            medium = of_file(file, self._model, "developer", level, self._see, clip)
        kinds: Kinds = {}
        put_medium(kinds, medium)
        return Said(verdict.doubts, kinds)


def _form(names: tuple[str, ...]) -> _Form | None:
    spelled = {lint.snake(name): name for name in names}
    kinds = [plain for plain in spelled if plain in KINDS]
    if len(spelled) < len(names) or not spelled.keys() <= PART or len(kinds) != 1:
        return None
    others = spelled.keys() - {kinds[0]}
    companions = tuple(spelled[plain] for plain in others) if others <= _COMPANIONS else None
    return _Form(kinds[0], spelled[kinds[0]], companions)


def _place(uri: str) -> str:
    """What the verdict on a URI depends on: mostly where it leads, else all of it."""
    if media.uploaded(uri):
        return "files/"
    return "https://" if uri.startswith("https://") and not is_youtube(uri) else uri


def _is_plain_call(call: dict[str, Any]) -> bool:
    return _are_flat([inner for name, inner in call.items() if name not in OPEN]) and not lint.clash(call)


def _are_flat(values: Iterable[Any]) -> bool:
    """Whether no value is null or holds others."""
    return all(type(value) in _FLAT for value in values)


def holds_films(parts: list[Said]) -> bool:
    """Whether the parts may hold more videos than a request may."""
    return sum(kind in _FILMS for part in parts for kind in part.media) > media.VIDEOS


def together(parts: list[Said], doubts: tuple[Fault, ...]) -> Said:
    """What there is to say of turns, from their parts that are not text and from the doubts about their order."""
    if len(parts) == 1 and not doubts:
        return parts[0]
    total: Kinds = {}
    for part in parts:
        for kind, tokens in part.media.items():
            total[kind] = total.get(kind, 0) + tokens
    return Said((*(doubt for part in parts for doubt in part.doubts), *doubts), total)


def _put(memo: dict[Hashable, Any], key: Hashable, value: Any) -> None:
    """Remember a value; a memory that has grown too large forgets everything first."""
    if len(memo) >= _ENTRIES:
        memo.clear()
    memo[key] = value
