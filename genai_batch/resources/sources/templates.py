"""Prompt templates: Jinja in a sandbox, filled with the columns of a row, which are data and never templates."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError

from genai_batch.resources.answers import brief
from genai_batch.resources.sources.fence import FILTERS, MOST_TEXT, Fenced, check
from genai_batch.resources.untyped import is_list, is_object

MOST_TEMPLATE = 200_000
"""Characters of a template itself."""
_SHOWN = 12


class TemplateFault(Exception):
    """A template that cannot be read, or not be filled with a row; `fix` says what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        """Say both."""
        super().__init__(problem)
        self.problem, self.fix = problem, fix


def is_template(value: object) -> bool:
    """Whether a text has places to be filled."""
    return isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value)


class Templates:
    """Templates of one source, each read once."""

    def __init__(self) -> None:
        """Start with none."""
        self._env = Fenced(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=_shown)
        self._read: dict[str, Any] = {}

    def fill(self, value: Any, columns: Mapping[str, Any]) -> Any:
        """Fill every text in a value that has places; what has none stays what it is.

        Raises:
            TemplateFault: one cannot be read or filled.
        """
        if isinstance(value, str):
            return self.text(value, columns) if is_template(value) else value
        if is_list(value):
            return [self.fill(each, columns) for each in value]
        if is_object(value):
            return {name: self.fill(each, columns) for name, each in value.items()}
        return value

    def need(self, text: str) -> None:
        """Read a text, if it has places, without filling it.

        Raises:
            TemplateFault: it cannot be read.
        """
        if is_template(text) and text not in self._read:
            self._compiled(text)

    def text(self, template: str, columns: Mapping[str, Any]) -> str:
        """Fill one template.

        Raises:
            TemplateFault: it cannot be read or filled.
        """
        found = self._read.get(template) or self._compiled(template)
        self._env.rounds, size = 0, 0
        pieces: list[str] = []
        try:
            for piece in found.generate({"row": columns, **columns}):
                pieces.append(piece)
                if (size := size + len(piece)) > MOST_TEXT:
                    raise SecurityError(f"it makes more than {MOST_TEXT:,} characters")
        except UndefinedError as error:
            raise _undefined(error, columns) from error
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            said = brief(" ".join(str(error).split()), 160)
            raise TemplateFault(f"the template cannot be filled: {said}", f"mend {_quoted(template)}") from error
        return "".join(pieces)

    def _compiled(self, template: str) -> Any:
        if len(template) > MOST_TEMPLATE:
            raise TemplateFault(
                f"the template has more than {MOST_TEMPLATE:,} characters", "put long texts into columns"
            )
        try:
            tree = check(self._env.parse(template))
            code = self._env.compile(tree)
        except TemplateSyntaxError as error:
            fix = f"filters are {', '.join(sorted(FILTERS))}" if "filter" in str(error) else f"mend {_quoted(template)}"
            said = f"the template is wrong at its line {error.lineno}: {brief(str(error.message), 120)}"
            raise TemplateFault(said, fix) from error
        except (RecursionError, SyntaxError, MemoryError) as error:
            raise TemplateFault("the template is nested too deeply", f"mend {_quoted(template)}") from error
        found = self._env.template_class.from_code(self._env, code, self._env.globals)
        self._read[template] = found
        return found


def _undefined(error: UndefinedError, columns: Mapping[str, Any]) -> TemplateFault:
    said = str(error.message or "a name is undefined")
    name = said.split("'")[1] if said.count("'") > 1 else ""
    near = get_close_matches(name, list(columns), 1)
    there = ", ".join(brief(each, 40) for each in list(columns)[:_SHOWN]) + ", …" * (len(columns) > _SHOWN)
    guess = f"did you mean {brief(near[0], 40)!r}? " if near else ""
    return TemplateFault(f"in the template {brief(said, 120)}", f"{guess}There are: {there or 'no columns'}")


def _shown(value: Any) -> Any:
    """An empty cell is an empty text; a table or list is shown as JSON."""
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        import msgspec

        return msgspec.json.encode(value).decode()
    return value


def _quoted(template: str) -> str:
    return repr(brief(template, 60))
