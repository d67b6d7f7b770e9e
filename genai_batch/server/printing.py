"""Printing for a reader who may have left: the work goes on without, and ends with the exit code that is its own."""

import os
import sys

from genai_batch.resources.redaction import redact


def put(text: str, *, err: bool = False) -> None:
    """Print a line without API keys to stdout, or stderr; once nobody reads that any more, to nowhere."""
    stream = sys.stderr if err else sys.stdout
    try:
        print(redact(text), file=stream, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # what is in the buffer still is written when the process ends
        os.close(nowhere)
