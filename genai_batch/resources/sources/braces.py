"""Columns that a template names as other tools do, `{name}` for `{{ name }}`: such places would be sent as they are."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from genai_batch.resources.answers import brief
from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.column_names import ColumnNames
from genai_batch.resources.sources.templates import TemplateFault, Templates, is_template
from genai_batch.resources.untyped import is_list, is_object

_PLACE = re.compile(
    r"(?<!\{)\$?\{\s*([^{}%#\n][^{}\n]{0,99}?)(?:![rsa])?(?::[^{}\n\s]{0,20})?\s*\}(?!\})|%\(([^()\n]{1,100})\)[sdf]"
)
_TEXTS = ("prompt", "system", "contents", "request")
_PATHS = ("output", "images", "files")


def check(common: Mapping[str, Any], columns: Mapping[str, Any], templates: Templates, report: Findings) -> None:
    """Report the places in the texts for all items that name a column in one pair of braces.

    It is a problem where no text names a column as a template does, so that all requests would be equal.
    """
    _check_paths(common, columns, report)
    texts = [text for name in _TEXTS for text in _strings(common.get(name))]
    names = ColumnNames(columns)
    places: dict[str, str] = {}
    for match in (match for text in texts for match in _PLACE.finditer(text)):
        name = (match[1] or match[2]).strip()
        if name in columns or names.aliases([name]):
            places.setdefault(match[0], name)
    if not places:
        return
    written, name = next(iter(places.items()))
    fix = f"write {{{{ {brief(name, 60)} }}}}"
    message = f"{brief(written, 60)!r} is sent as it is written; {brief(name, 60)!r} is a column"
    if any(_names_column(text, columns, templates) for text in texts):
        report.warn(f"in the template {message}", fix)
    else:
        report.problem(f"the template names no column: {message}", fix)


def _check_paths(common: Mapping[str, Any], columns: Mapping[str, Any], report: Findings) -> None:
    """Report a path with a column in one pair of braces: it would be the same for all rows."""
    names = ColumnNames(columns)
    for field in _PATHS:
        for text in _strings(common.get(field)):
            match = _PLACE.search(text)
            name = (match[1] or match[2]).strip() if match else ""
            if match and (name in columns or names.aliases([name])):
                fix = f"write {{{{ {brief(name, 60)} }}}}"
                report.problem(f"{field}: {brief(match[0], 60)!r} is no place that is filled", fix)


def _names_column(text: str, columns: Mapping[str, Any], templates: Templates) -> bool:
    if not is_template(text):
        return False
    try:
        return templates.names_column(text, columns)
    except TemplateFault:
        return True  # filling it says what is wrong


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_list(value):
        for element in value:
            yield from _strings(element)
    elif is_object(value):
        for element in value.values():
            yield from _strings(element)
