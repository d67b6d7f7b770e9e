"""The tables of results in a folder: where the next one goes, and which rows of earlier ones it takes over."""

from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple, Protocol

from genai_batch.resources.answers import brief
from genai_batch.resources.errors import BatchError, PathNotAllowed
from genai_batch.resources.exports.earlier import ENDINGS, EarlierExport, Use
from genai_batch.resources.exports.folder import Existing

NAME = "results"
"""The name of the table in a folder, without its ending."""


class WrittenFiles(Protocol):
    """What is noted of files that were written for the user, by their content."""

    def has_written(self, path: Path) -> bool:
        """Whether a file is there as it was left when it was written."""
        ...

    def note_written(self, path: Path, content: Path | None = None) -> None:
        """Note that `content` is about to become the file `path`, or that it has."""
        ...


class FolderTables(NamedTuple):
    """`target` is the table to write. `base`, of the same form, is merged into it; `others` are of other forms."""

    target: Path
    base: Path | None
    others: list[Path]


def find_tables(folder: Path, name: str, existing: Existing, written: WrittenFiles) -> FolderTables:
    """Find the tables of a folder whose next table is to be called `name`, unless somebody has edited that one.

    Raises:
        PathNotAllowed: what is no file lies where the table goes.
    """
    first = folder / name
    if existing == "refuse":
        return FolderTables(first, None, [])
    base, target = None, first
    for mark in chain(("", ".new"), (f".new{n}" for n in count(2))):
        target = folder / f"{NAME}{mark}{first.suffix}"
        if not target.exists():
            break
        if not target.is_file():
            kind = "a folder" if target.is_dir() else "a pipe or a device"
            raise PathNotAllowed(f"{target} is {kind} where the table of results goes. Name another folder.")
        base = target
        if written.has_written(target):
            break
    others = [path for ending in ENDINGS if (path := folder / f"{NAME}.{ending}") != first and path.is_file()]
    return FolderTables(first if existing == "replace" else target, base, others)


def read_tables(earlier: EarlierExport, tables: FolderTables, existing: Existing, use_of: Callable[[str], Use]) -> None:
    """Read the tables of earlier exports, the base last, since of two that name a file the last counts.

    Raises:
        BatchError: one cannot be read, unless it is to be replaced; or the new one would lack rows of one of another
            form.
    """
    for table in [*tables.others, *filter(None, (tables.base,))]:
        try:
            earlier.read(table, use_of, is_base=table == tables.base)
        except BatchError:
            if existing != "replace":
                raise
    if earlier.elsewhere:
        names = ", ".join(path.name for path in tables.others)
        raise BatchError(
            f"{brief(str(tables.target.parent), 200)} has its results in {names}, and {earlier.elsewhere:,} of these "
            f"rows would be missing in a new {tables.target.name}. Ask for the format of the table that is there, or "
            "name another folder."
        )
