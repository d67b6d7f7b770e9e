"""The two commands: `genai-batch` for people and scripts, `genai-batch-mcp` for MCP hosts."""

import sys

from genai_batch.server.interrupts import interrupts


def main() -> None:
    """Run the command line; with no arguments and no terminal on stdin, serve an MCP host."""
    interrupts.listen()
    if len(sys.argv) == 1 and not sys.stdin.isatty():
        serve()
        return
    from genai_batch.server.cli import app  # typer and rich are for people; a host should not wait for them

    app(prog_name="genai-batch")


def serve() -> None:
    """Serve one MCP host over stdin and stdout."""
    interrupts.listen()
    import anyio

    from genai_batch.resources.errors import BatchError, leaves
    from genai_batch.server.app import build_server, serve_stdio
    from genai_batch.server.settings import Settings

    try:
        anyio.run(serve_stdio, build_server(Settings.read()))
    except* BatchError as group:
        error = next(leaves(group))
        print(f"genai-batch-mcp: {error}", file=sys.stderr)  # noqa: T201 - stderr is where a host looks
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
