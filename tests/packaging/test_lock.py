"""What `make` installs is the lock, whatever has been released since."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
LATER = "99.0"


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wheel(folder: Path, name: str, version: str, like: Distribution) -> Path:
    """Write an empty wheel that requires, and offers as extras, what the real package does."""
    stem = f"{name.replace('-', '_')}-{version}"
    fields = [("Metadata-Version", "2.1"), ("Name", name), ("Version", version)]
    for field in ("Requires-Dist", "Provides-Extra"):
        fields += [(field, value) for value in like.metadata.get_all(field) or []]
    files = {
        f"{stem}.dist-info/METADATA": "".join(f"{field}: {value}\n" for field, value in fields),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: hashlib.sha256(text.encode()).digest() for path, text in files.items()}
    record = f"{stem}.dist-info/RECORD"
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}," for path, digest in digests.items()
    ]
    files[record] = "\n".join([*rows, f"{record},,", ""])
    path = folder / f"{stem}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for name_inside, text in files.items():
            archive.writestr(name_inside, text)
    return path


def locked() -> dict[str, str]:
    """Every package of the lock that is for this machine, with its version: what is installed here is the lock."""
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    here = {canonical(each.metadata["Name"]): each.version for each in distributions()}
    return {name: version for name, version in pins.items() if here.get(name) == version}


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """A folder with an empty wheel for each pin, and for each package a later release."""
    folder = tmp_path / "releases"
    folder.mkdir()
    here = {canonical(each.metadata["Name"]): each for each in distributions()}
    for name, version in locked().items():
        wheel(folder, name, version, here[name])
        wheel(folder, name, LATER, here[name])
    return folder


def test_make_installs_the_lock_and_nothing_that_was_released_later(tmp_path: Path, releases: Path) -> None:
    pins = locked()
    assert {"google-auth", "google-genai", "mcp", "pytest"} <= pins.keys()
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "Makefile", project)
    lines = [
        f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for name, version in pins.items()
        for path in releases.glob(f"{name.replace('-', '_')}-{version}-*.whl")
    ]
    (project / "requirements.lock").write_text("".join(lines))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "MFLAGS"))}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(releases)}
    done = subprocess.run(
        ["make", ".venv/.locked", f"PYTHON={sys.executable}"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pip = [project / ".venv/bin/python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(pip, env=env, capture_output=True, text=True, check=True).stdout)
    installed = {canonical(each["name"]): each["version"] for each in listed}
    assert {name: version for name, version in installed.items() if name not in ("pip", "setuptools")} == pins


def test_every_command_that_installs_takes_the_lock_and_resolves_nothing() -> None:
    """Which pips resolve although they are given hashes differs by their age, so the commands are read as well."""
    make = ["make", "--dry-run", "--always-make", "--no-print-directory", "VENV=.venv-of-nobody", "PYTHON=python3"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        [*make, ".venv-of-nobody/.ready"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    for commands in (done.stdout, workflow):
        pips = re.findall(r"(?:bin/|-m )pip (?:--\S+ )*(install|check)(.*)", commands)
        lock, own = (arguments for verb, arguments in pips if verb == "install")
        assert "--no-deps --require-hashes --only-binary :all: -r requirements.lock" in lock
        assert "--no-deps --no-build-isolation -e ." in own
        assert pips[-1][0] == "check"
