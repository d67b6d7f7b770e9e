"""Tables whose cells are separated by a sign: CSV and TSV, as spreadsheets and databases write them."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from genai_batch.resources.answers import Problem, brief
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.cell_errors import errors_in
from genai_batch.resources.sources.cells import Bad

MOST_CELL = 16 * 1024 * 1024
"""Characters of a cell; a quotation mark that is never closed makes one of the rest of the file."""
_SAMPLE = 64 * 1024
_SIGNS = ",;\t|"
_BOMS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def rows(path: Path, report: Findings) -> Iterator[dict[str, Any] | Bad]:
    """Read rows as texts by the names in the first line.

    The error values of spreadsheets are empty; `report` is warned how many there are.

    Raises:
        InvalidRequests: the encoding, the quotation marks or the names are wrong.
    """
    with path.open("rb") as raw:
        start = raw.read(4)
    encoding = next((name for bom, name in _BOMS.items() if start.startswith(bom)), "utf-8-sig")
    csv.field_size_limit(MOST_CELL)  # of the whole process; nothing else here reads CSV
    errors = Counter[str]()
    with path.open(encoding=encoding, newline="") as file:
        number = 0
        try:
            for found in _read(file, path, errors):
                number += 1
                yield found
        except UnicodeError as error:
            said = f"after row {number}: is not {'UTF-8' if encoding == 'utf-8-sig' else encoding.upper()}"
            raise _refusal(path, said, "save it as CSV UTF-8") from error
        except csv.Error as error:
            fix = 'close each quotation mark, and write one inside a cell as ""'
            raise _refusal(path, f"after row {number}: {brief(str(error), 100)}", fix) from error
        finally:
            if errors:
                column = repr(brief(next(iter(errors)), 60))
                said = f"cells with an error like #N/A: {errors.total():,}, the first in column {column}"
                report.warn(f"{path.name}: {said}; they are empty here", "mend them")


def _read(file: IO[str], path: Path, errors: Counter[str]) -> Iterator[dict[str, Any] | Bad]:
    sample = file.read(_SAMPLE)
    file.seek(0)
    sign = "\t" if path.suffix.lower() in (".tsv", ".tab") else _sign(sample)
    if sample.lower().startswith("sep=") and len(first := sample.splitlines()[0]) == 5:
        sign = first[4]
        file.readline()
    found = csv.reader(file, delimiter=sign, strict=True)
    names = _names(next(found, list[str]()), path)
    for cells in found:
        if not cells:
            continue
        if len(cells) > len(names):
            said = f"has {len(cells)} cells, the first line {len(names)}"
            yield Bad(said, f"quote a cell that holds {sign!r}")
            continue
        for place in errors_in(cells):
            errors[names[place]] += 1
            cells[place] = ""
        yield dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=True))


def _sign(sample: str) -> str:
    """The sign that parts the first line into most cells, and the second into as many."""
    return max(_SIGNS, key=lambda sign: _agreed(sample, sign))


def _agreed(sample: str, sign: str) -> tuple[bool, int]:
    counts: list[int] = []
    with suppress(csv.Error):
        for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=sign):
            counts += [len(cells)] if cells else []
            if len(counts) == 2:
                break
    return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0


def _names(cells: list[str], path: Path) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise _refusal(path, "has no first line with the names of its columns", "write one")
    if "" in names:
        raise _refusal(path, f"its column {names.index('') + 1} has no name", "name it in the first line")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _refusal(path, f"two columns are named {brief(twice, 60)!r}", "rename one")
    return names


def _refusal(path: Path, problem: str, fix: str) -> InvalidRequests:
    return InvalidRequests(path.name, [Problem(problem=problem, fix=fix)])
