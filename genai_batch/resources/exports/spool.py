"""The rows of a table on their way into a file: on the disk, until all columns and their types are known."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from genai_batch.resources.exports.columns import REST, Column, Types, cell
from genai_batch.resources.exports.rows import OURS, Fields

_OURS = frozenset({"key", *OURS})
_decode = msgspec.json.Decoder().decode


class Spool:
    """Rows as lines of JSON, whose members are numbered in the order in which their fields first came up."""

    def __init__(self, path: Path, users: Types, answers: Types) -> None:
        """Write to `path`; fields that are neither the user's, ours nor of the `answers` go into one."""
        self.path, self._users, self._answers = path, users, answers
        self._tags: dict[str, str] = {}
        self.rows = self.longest = 0
        """How many rows there are, and the bytes of the longest line."""

    def fill(self, rows: Iterable[Fields]) -> None:
        """Write all rows.

        Raises:
            OSError: the disk does not take them.
        """
        encoder, line = msgspec.json.Encoder(), bytearray()
        with self.path.open("xb", buffering=2**20) as file:
            for row in rows:
                filled = {self.tag(name): value for name, value in self._flat(row).items() if value is not None}
                encoder.encode_into(filled, line)
                line += b"\n"
                self.longest = max(self.longest, len(line))
                self.rows += 1
                file.write(line)

    def tag(self, field: str) -> str:
        """Return the name of a field in the lines."""
        return self._tags.setdefault(field, f"f{len(self._tags)}")

    def cells(self, columns: list[Column]) -> Iterator[list[Any]]:
        """Yield the values of each row in the order of the columns."""
        tagged = [(self.tag(column.field), column.type) for column in columns]
        with self.path.open("rb", buffering=2**20) as file:
            for line in file:
                values = _decode(line)
                yield [cell(values.get(tag), kind) for tag, kind in tagged]

    def _flat(self, row: Fields) -> Fields:
        flat = {**row, **row["usage"]} if "usage" in row else dict(row)
        flat.pop("usage", None)
        if REST not in self._users:
            return flat
        rest = {name: flat.pop(name) for name in list(flat) if name not in _OURS and name not in self._answers}
        return {**flat, REST: rest} if rest else flat
