"""The two commands: `genai-batch` for people and scripts, `genai-batch-mcp` for MCP hosts."""

import gc
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from genai_batch.server.interrupts import interrupts

_COMPLETION = "_GENAI_BATCH_COMPLETE"
"""The variable by which a shell asks `genai-batch` to complete a command; the words of the command stand in others."""


def main() -> None:
    """Run the command line; with no arguments and no terminal on stdin, serve an MCP host."""
    interrupts.listen()
    _guard_tracebacks()
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if len(sys.argv) == 1 and not is_terminal and _COMPLETION not in os.environ:
        serve()
        return
    with _uncollected():
        from genai_batch.server.cli import app  # typer and rich are for people; a host should not wait for them

    app(prog_name="genai-batch")


def serve() -> None:
    """Serve one MCP host over stdin and stdout; with arguments, answer a person instead."""
    interrupts.listen()
    _guard_tracebacks()
    if len(sys.argv) > 1:
        _answer_arguments()
    if sys.stdin is None or sys.stdout is None:
        sys.exit("genai-batch-mcp talks to an MCP host over stdin and stdout, and one of them is closed.")
    with _uncollected():
        import anyio

        from genai_batch.resources.errors import BatchError, leaves
        from genai_batch.server.app import build_server, serve_stdio
        from genai_batch.server.settings import Settings

    try:
        anyio.run(serve_stdio, build_server(Settings.read(serving=True)))
    except* BatchError as group:
        error = next(leaves(group))
        print(f"genai-batch-mcp: {error}", file=sys.stderr)  # noqa: T201 - stderr is where a host looks
        sys.exit(error.exit_code)


@contextmanager
def _uncollected() -> Generator[None]:
    """Import without the garbage collector, which frees next to nothing then and takes a fifth of the time to start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _guard_tracebacks() -> None:
    """Let no traceback show an API key."""
    from genai_batch.resources.redaction import guard_tracebacks

    guard_tracebacks()


def _answer_arguments() -> None:
    """Print the help or the version and leave; any other argument is an error, since the server takes none."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    from genai_batch import __version__

    parser = ArgumentParser(
        prog="genai-batch-mcp",
        formatter_class=RawDescriptionHelpFormatter,
        description="The MCP server for bulk generation with Gemini. An MCP host starts it without arguments\n"
        "and talks to it over stdin and stdout; settings come from the environment (GEMINI_API_KEY,\n"
        "GENAI_BATCH_ROOTS, GENAI_BATCH_HOME and others, see the README).",
        epilog="For people and scripts there is genai-batch; `genai-batch serve --http 127.0.0.1:8765` serves HTTP.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"genai-batch-mcp {__version__}")
    parser.parse_args()


if __name__ == "__main__":
    main()
