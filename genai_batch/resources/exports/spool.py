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
    """Rows as lines of JSON, with their fields by name or, where they are `tagged`, numbered f0, f1 and so on."""

    def __init__(self, path: Path, users: Types, answers: Types, *, tagged: bool = False) -> None:
        """Write to `path`; fields that are neither the user's, ours nor of the `answers` go into one."""
        self.path, self._tagged = path, tagged
        self._users, self._answers = users, answers
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
                flat = self._flat(row)
                encoder.encode_into({self.tag(name): flat[name] for name in flat} if self._tagged else flat, line)
                line += b"\n"
                self.longest = max(self.longest, len(line))
                self.rows += 1
                file.write(line)

    def tag(self, field: str) -> str:
        """Return the name of a field in the lines."""
        if not self._tagged:
            return field
        return self._tags.get(field) or self._tags.setdefault(field, f"f{len(self._tags)}")

    def cells(self, columns: list[Column]) -> Iterator[list[Any]]:
        """Yield the values of each row in the order of the columns."""
        tagged = [(self.tag(column.field), column.type) for column in columns]
        with self.path.open("rb", buffering=2**20) as file:
            for line in file:
                get = _decode(line).get
                yield [
                    value if (value := get(tag)) is None or type(value) is kind else cell(value, kind)
                    for tag, kind in tagged
                ]

    def _flat(self, row: Fields) -> Fields:
        """Put tokens and, of too many fields, those of the user's where their columns are."""
        if usage := row.pop("usage", None):
            row |= usage
        if REST not in self._users:
            return row
        rest = {name: row.pop(name) for name in list(row) if name not in _OURS and name not in self._answers}
        return {**row, REST: rest} if rest else row
