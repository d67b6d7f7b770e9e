"""A job as one HTML file for people: everything inside it, nothing fetched, nothing of the model's ever run."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from genai_batch.resources.report.failures import Kind, failures
from genai_batch.resources.report.history import History
from genai_batch.resources.report.rows import Row, Rows
from genai_batch.resources.report.sections import sections
from genai_batch.resources.report.survey import Survey, sample
from genai_batch.resources.results import Entry, Results
from genai_batch.resources.whole import beside

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_ROOM = 1_200_000
"""Bytes for the table of rows."""


def write(results: Results, history: History, target: Path) -> int:
    """Write the page of a job to `target`, whole or not at all, and return its size in bytes."""
    page = render(results, history).encode("utf-8", "backslashreplace")
    with beside(target) as part:
        part.write_bytes(page)
    return len(page)


def render(results: Results, history: History) -> str:
    """Make the page; the same results give the same page."""
    survey = Survey(results)
    kinds = failures(results, survey.ends)
    shown = Rows(results, [*_examples(results, kinds), *sample(results)])
    style, script = _asset("style.css"), _asset("search.js")
    table = _table(shown.rows)
    given = sections(results, history, kinds, survey, shown, len(table))
    return (
        _templates()
        .get_template("page.html")
        .render(**given, rows=table, style=style, script=script, policy=_policy(style, script))
    )


def _examples(results: Results, kinds: Iterable[Kind]) -> list[Entry]:
    return [results.entry(row.key) for kind in kinds for row in kind.examples]


def _table(rows: Iterable[Row]) -> "list[Markup]":
    """As many rows as there is room for, rendered; what cannot be written as UTF-8 is escaped at the end."""
    from markupsafe import Markup

    template, room, made = _templates().get_template("row.html"), _ROOM, list[Markup]()
    for row in rows:
        text = template.render(row=row)
        room -= len(text.encode("utf-8", "backslashreplace"))
        if room < 0:
            break
        made.append(Markup(text))  # noqa: S704 - a template with autoescape made it
    return made


def _policy(style: str, script: str) -> str:
    """Let nothing be loaded but what stands in the page, and run nothing but this one script."""
    own = f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    return f"default-src 'none'; img-src data:; media-src data:; {own}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(__package__ or "", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
