"""Cells that hold nothing where a template wrote them, or a request was to carry their file."""

from collections import Counter
from collections.abc import Iterable

from genai_batch.resources.answers import brief
from genai_batch.resources.preflight.findings import Findings

_SHOWN = 5


class EmptyCells:
    """Counts the rows of a source whose templates used empty cells."""

    def __init__(self) -> None:
        """Start with none."""
        self._rows = 0
        self._columns = Counter[str]()
        self._without_file: list[str] = []
        self._without_files = 0

    def count(self, columns: Iterable[str]) -> None:
        """Count a row in which a template wrote the empty cells of `columns`."""
        if names := list(columns):
            self._rows += 1
            self._columns.update(names)

    def without_file(self, place: str, key: str | None) -> None:
        """Count a row that names no file where the template for `images` or `files` asks for one."""
        self._without_files += 1
        if len(self._without_file) < _SHOWN:
            self._without_file.append(f"{place} (key {brief(key, 60)!r})" if key else place)

    def report(self, report: Findings) -> None:
        """Warn of what was counted."""
        if self._rows:
            counts = ", ".join(f"{brief(name, 60)!r} in {rows:,}" for name, rows in self._columns.most_common(_SHOWN))
            fix = "fill them, or write {{ column | default('…', true) }} or {% if column %}…{% endif %}"
            rows = f"{self._rows:,} rows fill" if self._rows > 1 else "1 row fills"
            report.warn(f"{rows} the template with empty cells: {counts}", fix)
        if self._without_files:
            rows = ", ".join(self._without_file) + ", …" * (self._without_files > len(self._without_file))
            count = f"{self._without_files:,} rows have" if self._without_files > 1 else "1 row has"
            message = f"{count} no file where the template names one: {rows}"
            report.warn(message, "fill the cells, or leave these rows out; they are sent without a file")
