"""The media folder of a job: pictures and sounds decoded to files, made when a result is first shown or exported.

A file is named by key and attempt, whose row never changes, so one that is there is right. The folder can be deleted at
any time; it is made again from the rows.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from genai_batch.resources import uris
from genai_batch.resources.errors import BatchError
from genai_batch.resources.media import names
from genai_batch.resources.media.decoding import Decoded, decode, kind
from genai_batch.resources.media.kinds import Kind
from genai_batch.resources.media.thumbnails import MOST, thumbnail
from genai_batch.resources.outcomes import Media
from genai_batch.resources.whole import beside

_SHOWN = 4
"""Pieces of one result that are decoded when it is read; a page shows no more."""


class Served(NamedTuple):
    """Content for a host, and what it has to know when that is not the whole."""

    content: bytes
    mime_type: str
    about: dict[str, Any] | None = None


class Kept:
    """Pictures and sounds of one job as files."""

    def __init__(self, folder: Path, job_id: str) -> None:
        """Keep them in the folder of a job."""
        self._folder, self._job_id = folder / "media", job_id

    def listed(self, key: str, attempt: int, blobs: list[dict[str, Any]]) -> list[Media]:
        """Name what a result holds: the address of each piece, what it is, and its file where that can be made."""
        return [
            Media(
                uri=uris.media(self._job_id, key, index),
                mime_type=kind(blob).mime_type,
                path=self._path_of(key, attempt, index, blob),
            )
            for index, blob in enumerate(blobs)
        ]

    def keep(self, key: str, attempt: int, index: int, blob: dict[str, Any]) -> Path:
        """Decode a piece to its file, if that is not there, and return where.

        Raises:
            ValueError: its data is not base64.
            OSError: it cannot be written.
        """
        path = self._file(key, attempt, index, kind(blob))
        if not _is_there(path):
            write(path, decode(blob).content)
        return path

    def keep_if_sound(self, key: str, attempt: int, index: int, blob: dict[str, Any]) -> None:
        """Decode a piece to its file, unless its data is not base64.

        Raises:
            OSError: it cannot be written.
        """
        with suppress(ValueError):
            self.keep(key, attempt, index, blob)

    def served(self, key: str, attempt: int, index: int, blob: dict[str, Any]) -> Served:
        """Give a piece to a host; of a picture over 100 kB a reduced copy, with the file of the whole.

        Raises:
            BatchError: its data is not base64.
        """
        try:
            whole = decode(blob)
        except ValueError as error:
            where = "see response in the result of its key"
            raise BatchError(f"What Gemini sent as media {index} of this result is {error}; {where}.") from error
        large = whole.kind.mime_type.startswith("image/") and len(whole.content) > MOST
        if not large or not (small := thumbnail(whole.content)):
            return Served(whole.content, whole.kind.mime_type)
        about = {
            "notice": "A reduced copy. The whole picture is at path; get_results with an output_path that ends in / "
            "writes all of them.",
            "path": self._written(self._file(key, attempt, index, whole.kind), whole),
            "mime_type": whole.kind.mime_type,
            "bytes": len(whole.content),
            "width": small.width,
            "height": small.height,
        }
        return Served(small.content, small.kind.mime_type, {name: each for name, each in about.items() if each})

    def _file(self, key: str, attempt: int, index: int, kind: Kind) -> Path:
        """A later attempt has a folder of its own, which no name of a file can be: those have endings."""
        folder = self._folder / f"attempt-{attempt}" if attempt > 1 else self._folder
        return folder / names.numbered(names.stem(key), index, kind.suffix)

    def _path_of(self, key: str, attempt: int, index: int, blob: dict[str, Any]) -> str | None:
        path = self._file(key, attempt, index, kind(blob))
        if _is_there(path):
            return str(path)
        if index >= _SHOWN:
            return None
        try:
            return str(self.keep(key, attempt, index, blob))
        except (OSError, ValueError):  # a full disk, or no base64: the address stays, and says why when it is read
            return None

    def _written(self, path: Path, whole: Decoded) -> str | None:
        try:
            if not _is_there(path):
                write(path, whole.content)
        except OSError:
            return None
        return str(path)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, making its folder.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(path) as part:
        part.write_bytes(content)


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
