"""A row that stands in for those of a stage that has not run, so that its templates are tried before it is paid for."""

import re
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from genai_batch.resources.answers import Problem
from genai_batch.resources.errors import InvalidRequests
from genai_batch.resources.local_files import FILE
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.attaching import Attaching
from genai_batch.resources.sources.compiling import Compiler
from genai_batch.resources.sources.manifest import Plan
from genai_batch.resources.sources.parts import Reach, Unusable
from genai_batch.resources.sources.prompt_files import PromptFiles
from genai_batch.resources.sources.selection import Selection
from genai_batch.resources.sources.supply import Item, Supply
from genai_batch.resources.sources.templates import is_template
from genai_batch.resources.untyped import items

_ANSWER = "answer"
_NAMES_JSON = re.compile(r"\{[{%][^}]*\b(json|row)\b")
_CERTAIN = (" is undefined", ": output ", ": has ", ": file ")
"""What is wrong whatever the answers are; a template that takes them apart may only not fit this one."""
_FILES = ("images", "files")


class _StandIn(Supply):
    """One row, as an earlier stage might answer it."""

    def __init__(self, plan: Plan, reach: Reach, row: dict[str, Any]) -> None:
        super().__init__(plan, reach)
        self._common, self._row = plan.kept, row

    def items(self, found: Findings) -> Iterator[Item]:  # noqa: ARG002 - a Supply's
        kept = {name: each for name, each in self._row.items() if name not in ("key", "request", "output")}
        columns = {**self._common, **kept, "key": self._row["key"], "outcome": "ok", "text": _ANSWER}
        yield Item("its rows", {}, columns, kept, key=self._row["key"])


def tried(plan: Plan, reach: Reach, model: str, row: dict[str, Any]) -> dict[str, Any] | None:
    """Make the request of a stage out of a line of the stage before; None where that cannot be known.

    Raises:
        InvalidRequests: no row of it can be made.
    """
    try:
        plan = plan._replace(common=PromptFiles(plan.base, reach).resolved(plan.common))
    except Unusable as error:
        raise InvalidRequests(plan.source, [Problem(problem=error.problem, fix=error.fix)]) from error
    texts = msgspec.json.encode([plan.common, plan.manifest.key]).decode()
    if _NAMES_JSON.search(texts):
        return None
    named = {name for name in _FILES if any(is_template(each) for each in items(plan.common.get(name)))}
    plain = plan._replace(common={name: each for name, each in plan.common.items() if name not in named})
    out = BytesIO()
    try:
        with TemporaryDirectory() as folder, closing(Attaching(plain, Path(folder) / FILE)) as attaching:
            Compiler(plain, _StandIn(plain, reach, row), reach, model, Selection(), attaching).write(out)
    except InvalidRequests as error:
        if certain := [each for each in error.problems if any(word in each.problem for word in _CERTAIN)]:
            raise InvalidRequests(error.source, certain) from error
        return None
    return msgspec.json.decode(out.getvalue().splitlines()[0])
