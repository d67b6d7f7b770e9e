"""Rows that differ from one already judged only in the words of their key and texts, recognised at a decoder's speed.

A `Form` is learned (`learning`) from a line that the exact reader accepted: which members there are, and each turn's
role and number of texts. A decoder made for it takes a line only if exactly those members are there, no more and no
fewer, every role is the same, and every key and text is a string of valid UTF-8. What else a request holds
(generation_config, tools, the system instruction …) is compared as bytes with a `Variant` that was judged too. So the
verdict on a line that matches, its warnings included, is the verdict on the line it was learned from.

One fault a decoder cannot see: a member that stands twice. Then the line holds more quotation marks than its form.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

_ROLES: dict[str, Any] = {"user": Literal["user"], "model": Literal["model"]}
Fields = list[tuple[str, Any]]


class Form(Struct, frozen=True):
    """The structure of a row: the member that holds its turns, each turn's role and parts, the other members."""

    turns_in: str
    turns: tuple[tuple[str | None, int], ...]
    others: tuple[str, ...]


class Variant(Struct, frozen=True):
    """A form and the bytes of the other members of a request: all that verdict and price depend on but the words."""

    form: Form
    others: tuple[bytes, ...]


def decoder(form: Form) -> Callable[[bytes], Any]:
    """Make the decoder of a form: it raises on every line of another."""
    turns = [_turn(role, parts) for role, parts in form.turns]
    held = tuple[*turns] if form.turns_in == "contents" else turns[0]
    others: Fields = [(f"other{n}", Raw) for n in range(len(form.others))]
    names = {"turns": form.turns_in, **{f"other{n}": name for n, name in enumerate(form.others)}}
    request = _exact("Request", [("turns", held), *others], names)
    return msgspec.json.Decoder(_exact("Row", [("key", str), ("request", request)])).decode


def _turn(role: str | None, parts: int) -> type[Struct]:
    part = _exact("Part", [("text", Annotated[str, Meta(min_length=1)])])
    roles: Fields = [] if role is None else [("role", _ROLES[role])]
    return _exact("Turn", [*roles, ("parts", tuple[*(part,) * parts])])


def _exact(name: str, fields: Fields, rename: dict[str, str] | None = None) -> type[Struct]:
    """Describe an object that has these members, all of them and no others."""
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False, rename=rename)


def quotes(form: Form) -> int:
    """Quotation marks in a row of a form, but for those inside its other members."""
    strings = 2 + 1 + 1 + len(form.others)
    return 2 * (strings + sum(1 + 2 * (role is not None) + 2 * parts for role, parts in form.turns))


def texts(row: Any, form: Form) -> list[str]:
    """The key and texts of a decoded row."""
    turns = row.request.turns if form.turns_in == "contents" else (row.request.turns,)
    return [row.key, *(part.text for turn in turns for part in turn.parts)]
