"""Where a tool may put a file, known before anything is done for it, and what is said where it cannot be written."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from genai_batch.resources.answers import brief
from genai_batch.resources.errors import LedgerError, PathNotAllowed
from genai_batch.resources.exports import Format, check_folder, form_of, form_there
from genai_batch.tools.workspace import Workspace


class Target(NamedTuple):
    """Where results go, as what; `is_folder` says that each picture, sound or text gets a file of its own."""

    path: Path
    form: Format
    is_folder: bool


def file_at(workspace: Workspace, output_path: str, option: str = "--output") -> Path:
    """Find a place for a file; `option` is where a person names another.

    Raises:
        PathNotAllowed: with what is wrong with it.
    """
    path = workspace.path(output_path)
    shown = brief(str(path), 300)
    if not output_path.strip() or path.is_dir() or not path.parent.is_dir():
        raise PathNotAllowed(f"{shown} is a folder, lies in no folder, or has no name. Name a new file.")
    if path.exists() and not path.is_file():
        raise PathNotAllowed(f"{shown} is a pipe or a device. Name a file.")
    if path.exists() and not workspace.may_replace(path):
        raise PathNotAllowed(f"{shown} {_existing(workspace, option)}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PathNotAllowed(f"{shown} cannot be written by this user. Name a file that can be.")
    return path


def _existing(workspace: Workspace, option: str = "--output") -> str:
    """What is wrong with a file that is there, and what can be done."""
    if workspace.roots is not None:
        return "exists and is not replaced. Choose a new output_path."
    return f"exists and is not what was written here last. Choose another {option}, or replace it with --overwrite."


def results_at(workspace: Workspace, output_path: str, form: Format | None) -> Target:
    """Find a place for results that are still to be paid, and check that they can be merged into what is there.

    Raises:
        BatchError: with what is wrong with it.
    """
    target = place_of(workspace, output_path, form)
    if target.is_folder and target.path.is_dir():
        check_folder(target.path, target.form, workspace.existing, WrittenHere(workspace))
    return target


def place_of(workspace: Workspace, output_path: str, form: Format | None) -> Target:
    """Find a place for results; a folder is one that is there, or a name that ends like one.

    A person who names no form gets that of the table that is there.

    Raises:
        BatchError: with what is wrong with it.
    """
    path = workspace.path(output_path)
    if not output_path.endswith(("/", "\\")) and not (output_path.strip() and path.is_dir()):
        return Target(file_at(workspace, output_path), form or form_of(path), is_folder=False)
    if workspace.roots is not None and not path.parent.is_dir():
        raise PathNotAllowed(f"{brief(str(path), 300)} lies in no folder. Name a new folder in one that is there.")
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        raise PathNotAllowed(f"{brief(str(there), 300)} is a file. Name a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PathNotAllowed(f"{brief(str(there), 300)} cannot be written by this user. Name a folder that can be.")
    if form is None and workspace.existing != "refuse":
        form = form_there(path)
    return Target(path, form or "jsonl", is_folder=True)


@contextmanager
def writing(workspace: Workspace, target: Path) -> Generator[None]:
    """Say what keeps a file from being written; one that was written is known as ours while nobody changes it.

    Raises:
        PathNotAllowed: with what keeps it.
    """
    try:
        yield
    except FileExistsError as error:
        raise PathNotAllowed(f"{error.filename} {_existing(workspace)}") from error
    except OSError as error:
        why = error.strerror or error
        raise PathNotAllowed(f"{target} cannot be written: {why}. Nothing that was there is changed.") from error
    WrittenHere(workspace).note_written(target)


class WrittenHere(NamedTuple):
    """What the ledger notes of files that were written from here; `job_id` is the job whose results they hold."""

    workspace: Workspace
    job_id: str | None = None

    def has_written(self, path: Path) -> bool:
        """Whether a file has the content of one that was written from here."""
        return self.workspace.ledger.has_written(path)

    def note_written(self, path: Path, content: Path | None = None) -> None:
        """Note that `content` is about to become the file `path`, or that it has, where the home can be written."""
        if (content or path).is_file():
            with suppress(LedgerError, OSError):
                self.workspace.ledger.note_written(path, content, self.job_id)
