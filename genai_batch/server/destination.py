"""Where a command writes its output: to a file or, for `-`, to stdout, which then gets nothing else."""

import atexit
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from genai_batch.resources.answers import Answer, printable
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports import Format
from genai_batch.server.printing import put, put_file
from genai_batch.server.terminal import fail, show

_STDOUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
_NO_TEXT: frozenset[Format | None] = frozenset({"parquet", "sqlite", "xlsx"})


class Destination(NamedTuple):
    """`path` is the file to write, if any; one that is for stdout lasts as long as the command."""

    path: str | None
    is_stdout: bool = False

    def show(self, answer: Answer, lines: list[str], *, json: bool, quiet: bool) -> None:
        """Print an answer; where stdout takes the output, that goes there, and the answer to stderr."""
        if not self.is_stdout or self.path is None:
            show(answer, lines, json)
            return
        put_file(Path(self.path))
        if not quiet:
            put(printable("\n".join(lines)).replace(self.path, "stdout"), err=True)


def destination(output: str | None, form: Format | None = None, *, json: bool = False) -> Destination:
    """Choose where to write; a form that is no text is not shown at a terminal, and `--json` has stdout to itself.

    This ends the command with an error where stdout cannot be used so.
    """
    if output not in _STDOUT:
        return Destination(output)
    if json:
        fail(BatchError("--json and --output - both print to stdout: name a file, or leave --json out."), json=True)
    if form in _NO_TEXT and sys.stdout.isatty():
        fail(BatchError(f"{form} is no text for a terminal: name a file, or pipe the command into one."), json=False)
    folder = tempfile.mkdtemp(prefix="genai-batch-output-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Destination(str(Path(folder) / "stdout"), is_stdout=True)
