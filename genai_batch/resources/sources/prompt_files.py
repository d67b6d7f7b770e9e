"""Prompts that stand in a file of their own: `prompt_file: PATH`, `prompt: file://PATH` or `prompt: "@PATH"`."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from genai_batch.resources.sources.parts import Reach, Unusable, look, of_name, text_of
from genai_batch.resources.untyped import is_list

_SCHEME = "file://"
_NAMES_FILE = re.compile(r"@[^\n\r\0]*\.(?:txt|md|markdown|prompt|j2|jinja2?|tmpl|tpl|html?|rst|json|ya?ml|xml|csv)")


class PromptFiles:
    """Reads the files that prompts and system instructions of a plan name, each once."""

    def __init__(self, base: Path | None, reach: Reach) -> None:
        """Look for them beside the manifest, in `base`, as far as `reach` lets one."""
        self._base, self._reach = base, reach
        self._texts: dict[str, str] = {}
        self.read: set[str] = set()

    def resolved(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The same fields of a request with the text of each file in the place of its name.

        Raises:
            Unusable: a file is not there, or holds no text.
            PathNotAllowed: it lies where nothing may be read.
        """
        if not fields.keys() & {"prompt", "prompt_file", "system"}:
            return fields
        resolved = {name: value for name, value in fields.items() if name != "prompt_file"}
        if (path := fields.get("prompt_file")) is not None:
            if "prompt" in fields:
                raise Unusable("has both a prompt and a prompt_file", "keep one of them")
            resolved["prompt"] = self._text(str(path))
        for name in ("prompt", "system"):
            if (path := _path_in(resolved.get(name))) is not None:
                resolved[name] = self._text(path)
        return resolved

    def _text(self, name: str) -> str:
        if name not in self._texts:
            try:
                path = self._reach(self._base / name if self._base else name)
                self._texts[name] = text_of(look(path)).rstrip("\r\n")
            except Unusable as error:
                raise of_name(name, error) from error
            self.read.add(name)
        return self._texts[name]


def _path_in(value: Any) -> str | None:
    """The path of the file that a prompt names; None where the prompt is the text itself."""
    if is_list(value) or not isinstance(value, str):
        return None
    text = value.strip()
    if text.startswith(_SCHEME) and "\n" not in text:
        path = unquote(text.removeprefix(_SCHEME))
        return path.removeprefix("localhost") if path.startswith("localhost/") else path
    return text[1:] if _NAMES_FILE.fullmatch(text) else None
