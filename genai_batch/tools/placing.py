"""Where a tool may put a file, known before anything is done for it, and what is said where it cannot be written."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from genai_batch.resources.answers import brief
from genai_batch.resources.errors import PathNotAllowed
from genai_batch.resources.exports import Format, form_of
from genai_batch.tools.workspace import Workspace


class Target(NamedTuple):
    """Where results go, as what; `is_folder` says that each picture, sound or text gets a file of its own."""

    path: Path
    form: Format
    is_folder: bool


def file_at(workspace: Workspace, output_path: str) -> Path:
    """Find a place for a file.

    Raises:
        PathNotAllowed: with what is wrong with it.
    """
    path = workspace.path(output_path)
    shown = brief(str(path), 300)
    if not output_path.strip() or path.is_dir() or not path.parent.is_dir():
        raise PathNotAllowed(f"{shown} is a folder, lies in no folder, or has no name. Name a new file.")
    if path.exists() and not workspace.may_replace:
        raise PathNotAllowed(f"{shown} exists and is not replaced. Choose a new output_path.")
    return path


def results_at(workspace: Workspace, output_path: str, form: Format | None) -> Target:
    """Find a place for results; a folder is one that is there, or a name that ends like one.

    Raises:
        BatchError: with what is wrong with it.
    """
    path = workspace.path(output_path)
    if not output_path.endswith(("/", "\\")) and not (output_path.strip() and path.is_dir()):
        return Target(file_at(workspace, output_path), form or form_of(path), is_folder=False)
    if not path.is_dir() and path.parent.is_dir():
        file_at(workspace, output_path)
    elif not path.is_dir():
        raise PathNotAllowed(f"{brief(str(path), 300)} lies in no folder. Name a new folder in one that is there.")
    return Target(path, form or "jsonl", is_folder=True)


@contextmanager
def writing(target: Path) -> Generator[None]:
    """Say what keeps a file from being written.

    Raises:
        PathNotAllowed: with that.
    """
    try:
        yield
    except FileExistsError as error:
        raise PathNotAllowed(f"{error.filename} exists and is not replaced. Choose a new output_path.") from error
    except OSError as error:
        why = error.strerror or error
        raise PathNotAllowed(f"{target} cannot be written: {why}. Nothing that was there is changed.") from error
