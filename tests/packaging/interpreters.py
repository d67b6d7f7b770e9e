"""Print the Pythons that this project runs on and that are on this machine, one of each minor version.

python tests/packaging/interpreters.py

They are looked for on the PATH and where pyenv keeps its own. It runs before there is an environment, so it needs
nothing but the standard library.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

MINORS = (11, 12, 13, 14)


def candidates(minor: int) -> Iterator[str]:
    """Paths at which a Python 3.`minor` may lie, the preferred one first."""
    if path := shutil.which(f"python3.{minor}"):
        yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python"), key=_patch, reverse=True))


def _patch(python: Path) -> int:
    """The patch level that pyenv names in a path; 0 for what is no final release."""
    patch = python.parts[-3].rpartition(".")[2]
    return int(patch) if patch.isdecimal() else 0


def runs(python: str, minor: int) -> bool:
    """Whether this interpreter starts, is a 3.`minor`, and can make environments: pyenv's shims may not."""
    code = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Print one path a line."""
    for minor in MINORS:
        if path := next((path for path in candidates(minor) if runs(path, minor)), None):
            print(path)  # noqa: T201 - make reads it


if __name__ == "__main__":
    main()
