"""The files of a request: what is small stands in it as base64, what is large is named by its content.

A file that is named is uploaded before the request is sent, once for however many requests name it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genai_batch.resources.local_files import BeingWritten, LocalFiles
from genai_batch.resources.sources.manifest import Plan, item_fields
from genai_batch.resources.sources.parts import MOST, Looked, Part, Unusable, being_written, of_file
from genai_batch.resources.sources.templates import is_template
from genai_batch.resources.untyped import is_object, items

LARGE = 8_000_000
"""Bytes of a file above which it is uploaded: as base64 it would be most of what one request may carry."""
SHARED = 1_000_000
"""Bytes of a file above which it is uploaded where many requests are known to hold the same."""
FILE_MOST = 2_000_000_000
"""Bytes of one file that Gemini takes."""
_FIELDS = ("images", "files")


class Attaching:
    """Decides of the files of each request of a plan, and notes those that are to be uploaded."""

    def __init__(self, plan: Plan, database: Path | None) -> None:
        """Keep what is to be uploaded in `database`; without one nothing may be, for the requests go elsewhere."""
        self.shared = frozenset(_shared(plan))
        self._database = database
        self._files: LocalFiles | None = None

    @property
    def most(self) -> int:
        """Bytes that one file may have."""
        return MOST if self._database is None else FILE_MOST

    def parts(self, files: list[Looked], shared: set[Path], item: str) -> Iterator[Part]:
        """The parts that carry or name the files of an item; `shared` are those that other requests hold too.

        Raises:
            Unusable: together they are too large; or, when its part is due, one cannot be read any more.
        """
        named = self._named(files, shared)
        return (self._name(file, item) if number in named else of_file(file) for number, file in enumerate(files))

    def close(self) -> None:
        """Let go of what was noted."""
        if self._files:
            self._files.close()

    @property
    def _noted(self) -> LocalFiles:
        """What is to be uploaded; begun only where something is."""
        if self._files is None:
            self._files = LocalFiles(self._database or Path(), new=True)
        return self._files

    def _named(self, files: list[Looked], shared: set[Path]) -> set[int]:
        """Which files are uploaded: the large ones, and as many others, the largest first, as do not fit together."""
        media = [number for number, file in enumerate(files) if not file.is_text] if self._database else []
        named = {each for each in media if files[each].size > (SHARED if files[each].path in shared else LARGE)}
        size = sum(file.size for number, file in enumerate(files) if number not in named)
        for number in sorted(media, key=lambda each: -files[each].size):
            if size > MOST and number not in named:
                named.add(number)
                size -= files[number].size
        if size > MOST:
            fix = "create_batch (or run) of the manifest itself uploads large files" if not self._database else None
            said = f"its files have {size / 1e6:,.1f} MB; a request carries {MOST / 1e6:,.0f} MB itself"
            raise Unusable(said, fix or "attach less text")
        return named

    def _name(self, file: Looked, item: str) -> Part:
        try:
            uri = self._noted.add(file.path, file.size, file.mime_type, item)
        except BeingWritten as error:
            raise being_written() from error
        except OSError as error:
            raise Unusable(f"cannot be read: {error.strerror}", "put it back, and try again") from error
        return {"fileData": {"mimeType": file.mime_type, "fileUri": uri}}


def _shared(plan: Plan) -> Iterator[str]:
    """Names of files that many requests hold, as far as the plan tells without making them."""
    if plan.items is None or len(plan.items) > 1:
        yield from (name for name in _names(plan.common) if not is_template(name))
    written = (item_fields(value)[0] for value in plan.items or () if is_object(value))
    counts = Counter(name for own in written for name in set(_names(own)))
    yield from (name for name, count in counts.items() if count > 1)


def _names(fields: dict[str, Any]) -> Iterable[str]:
    return (name for field in _FIELDS for name in items(fields.get(field)) if isinstance(name, str))
