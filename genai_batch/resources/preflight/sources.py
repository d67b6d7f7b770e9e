"""Whether a file can be JSONL of requests at all, before it is read."""

from pathlib import Path

from genai_batch.resources.answers import Problem
from genai_batch.resources.errors import InvalidRequests

_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


def need_file(source: Path) -> None:
    """See that there is a file, which nothing writes to from the other side.

    Raises:
        InvalidRequests: there is none, or it is a folder or a pipe.
    """
    if not source.exists():
        ending = source.suffix or ".jsonl"
        near = sorted(each.name for each in source.parent.glob("*") if each.suffix == ending)
        fix = f"{source.parent} holds {', '.join(near[:5])}" if near else "check the path"
        raise InvalidRequests(str(source), [Problem(problem="no such file", fix=fix)])
    if source.is_dir():
        raise InvalidRequests(str(source), [Problem(problem="is a folder", fix="give the path of a .jsonl file")])
    if not source.is_file():
        fix = "give the path of a .jsonl file; what comes through a pipe is piped into a command that reads -"
        raise InvalidRequests(str(source), [Problem(problem="is not a regular file", fix=fix)])


def refuse(source: Path) -> None:
    """Look at a file from outside.

    Raises:
        InvalidRequests: there is no such file, or it cannot be JSONL of requests.
    """
    need_file(source)
    try:
        with source.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InvalidRequests(str(source), [Problem(problem=f"cannot be read: {error.strerror}")]) from error
    _refuse_start(source, start)


def _refuse_start(source: Path, start: bytes) -> None:
    for bom, name in _BOMS.items():
        if start.startswith(bom):
            fix = f"iconv -f {name} -t UTF-8 {source.name} > utf8.jsonl"
            raise InvalidRequests(source.name, [Problem(problem=f"is encoded in {name}; JSONL is UTF-8", fix=fix)])
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        fix = f"jq -c '.[]' {source.name} > requests.jsonl"
        raise InvalidRequests(source.name, [Problem(problem="is a JSON array; JSONL is one object a line", fix=fix)])
    if source.suffix.lower() in (".yaml", ".yml", ".csv", ".tsv", ".xlsx", ".parquet"):
        fix = f"make requests from it: build_requests, or genai-batch build {source.name} --prompt '…' --output FILE"
        raise InvalidRequests(source.name, [Problem(problem=f"is {source.suffix}, not JSONL of requests", fix=fix)])
