"""Printing for a reader who may have left: the work goes on without, and ends with the exit code that is its own."""

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from genai_batch.resources.redaction import redact


def put(text: str, *, err: bool = False) -> None:
    """Print a line without API keys to stdout, or stderr; once nobody reads that any more, to nowhere."""
    stream = sys.stderr if err else sys.stdout
    with _to_whom_reads(stream):
        print(redact(text), file=stream, flush=True)


def put_file(path: Path) -> None:
    """Copy a file to stdout, byte for byte; once nobody reads that any more, to nowhere."""
    with path.open("rb") as file, _to_whom_reads(sys.stdout):
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()


@contextmanager
def _to_whom_reads(stream: TextIO) -> Generator[None]:
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # what is in the buffer still is written when the process ends
        os.close(nowhere)
