"""Column names in templates: those that Jinja cannot read as they are, and those that are spelled a little otherwise.

A table may call a column `Product Name`, `price-usd` or `if`. A template may use such a name as it stands in the table
(`{{ Product Name }}`), with underscores for what is no letter or digit (`{{ Product_Name }}`), or in quotes
(`{{ row["Product Name"] }}`).
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from keyword import iskeyword

from genai_batch.resources.answers import brief

ROW, KEY, VARIANT = "_row", "_key", "_variant"
"""What a template can name where columns are called `row`, `key` or `variant` too: all columns, the key, the number of
a variant."""
_JINJA = frozenset({"true", "false", "none", "True", "False", "None", "self", "loop", "context", "environment"})
_BLOCK = re.compile(r"\{#.*?#\}|\{%-?\s*raw.*?endraw\s*-?%\}|(\{\{|\{%)", re.DOTALL)
_STRING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_WORD, _JOINED, _NUMBER = re.compile(r"\w"), re.compile(r"[\w.]"), re.compile(r"[\d\W_]*")


class AmbiguousName(Exception):
    """A name in a template that several columns could mean; they are its argument."""

    def __init__(self, name: str, columns: list[str]) -> None:
        """Name the columns."""
        super().__init__(name, columns)
        self.name, self.columns = name, columns

    @property
    def problem(self) -> str:
        """What is wrong, in a sentence."""
        return f"in the template {brief(self.name, 60)!r} could be {_listed(self.columns)}"


def _listed(columns: list[str]) -> str:
    return " or ".join(f"the column {brief(column, 60)!r}" for column in columns)


def plain(name: str) -> str:
    """A column's name as an identifier: letters and digits as they are, an underscore for anything between them."""
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFC", name)).strip("_")
    return f"_{words}" if words[:1].isdigit() else words


class ColumnNames:
    """The columns of a table, as the templates of its rows may name them."""

    def __init__(self, columns: Iterable[str]) -> None:
        """Sort them into those that Jinja reads itself and those that it does not."""
        self._columns = list(columns)
        self._exact = frozenset(self._columns)
        self.row = ROW
        while self.row in self._exact:
            self.row += "_"
        odd = [name for name in self._columns if not _is_identifier(name)]
        self._alone = frozenset(name for name in odd if not _stands_out(name))
        self._blanks = _grouped(odd, lambda name: " ".join(name.split()))
        self._plain = _grouped(self._columns, plain)
        names = sorted((name for name in odd if _stands_out(name)), key=len, reverse=True)
        patterns = (r"\s+".join(map(re.escape, name.split())) for name in names)
        self._odd = re.compile("|".join(patterns)) if names else None

    def rewritten(self, template: str) -> str:
        """Put each column name that Jinja cannot read into quotes, as `_row["…"]`.

        Raises:
            AmbiguousName: a name could mean several columns.
        """
        if self._odd is None and not self._alone:
            return template
        pieces: list[str] = []
        end = 0
        while block := _BLOCK.search(template, end):
            pieces.append(template[end : block.end()])
            end = block.end()
            if block[1]:
                expression, end = self._expression(template, end, "}}" if block[1] == "{{" else "%}")
                pieces.append(expression)
        return "".join([*pieces, template[end:]])

    def _expression(self, template: str, start: int, close: str) -> tuple[str, int]:
        """Rewrite from `start` to the end of the block; return that and where the block ends."""
        if close == "}}" and (alone := self._column_alone(template, start)):
            return alone
        pieces: list[str] = []
        at = start
        while at < len(template) and not template.startswith((close, f"-{close}", f"+{close}"), at):
            if name := self._name_at(template, at, start):
                pieces.append(f"{self.row}[{json.dumps(self._one_column(name), ensure_ascii=False)}]")
                at += len(name)
                continue
            text = _STRING.match(template, at)
            pieces.append(text[0] if text else template[at])
            at += len(pieces[-1])
        return "".join(pieces), at

    def _column_alone(self, template: str, start: int) -> tuple[str, int] | None:
        """A name like `if` or `2026`, which means a column only where nothing else is in the block but filters."""
        for name in self._alone:
            match = re.compile(rf"-?\s*{re.escape(name)}\s*(?=-?\}}\}}|\|)").match(template, start)
            if match and name.strip():
                at = match.end()
                end = template.find("}}", at)
                return f" {self.row}[{json.dumps(name, ensure_ascii=False)}] {template[at:end]}", end
        return None

    def _name_at(self, template: str, at: int, start: int) -> str | None:
        """The odd name that stands at a place, unless it is a part of a longer word."""
        if self._odd is None or (at > start and _JOINED.match(template[at - 1])):
            return None
        match = self._odd.match(template, at)
        if match is None or (_WORD.match(match[0][-1]) and _WORD.match(template[match.end() : match.end() + 1])):
            return None
        return match[0]

    def _one_column(self, text: str) -> str:
        """The column that a text means: the one of just that name, or the only one that differs in its blanks."""
        if text in self._exact:
            return text
        columns = self._blanks[" ".join(text.split())]
        if len(columns) > 1:
            raise AmbiguousName(text, columns)
        return columns[0]

    def meant(self, name: str) -> str | None:
        """The column that a name means which is no column itself, since it has underscores for other characters.

        Raises:
            AmbiguousName: it could mean several columns.
        """
        columns = self._plain.get(unicodedata.normalize("NFC", name), [])
        if len(columns) > 1:
            raise AmbiguousName(name, columns)
        return columns[0] if columns else None

    def aliases(self, names: Iterable[str]) -> Mapping[str, str]:
        """The columns that names mean which are no columns themselves, by those names.

        Raises:
            AmbiguousName: a name could mean several columns.
        """
        missing = ((name, self.meant(name)) for name in names if name not in self._exact)
        return {name: column for name, column in missing if column is not None}


def _grouped(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(form(name), []).append(name)
    return groups


def _is_identifier(name: str) -> bool:
    """Whether Jinja reads a name as that of a column."""
    return name.isidentifier() and not iskeyword(name) and name not in _JINJA


def _stands_out(name: str) -> bool:
    """Whether a name can be told from the words, numbers and signs of a template around it."""
    return not name.isidentifier() and not _NUMBER.fullmatch(name)
