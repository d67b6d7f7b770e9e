"""Install the wheel without the lock, with the newest releases that its ranges allow and with the lowest, and use it.

python tests/packaging/ranges.py DIST

DIST is the folder of the wheel; uv chooses the releases and installs them into an empty environment. In each one the
demo is played, a job's answers are written as Parquet and read back with the extra `[data]`, and no development package
may be there. Ends with 1 at the first thing that does not work.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEEDED = PROJECT["project"]["dependencies"]
DATA = PROJECT["project"]["optional-dependencies"]["data"]
RESOLUTIONS = ("highest", "lowest-direct")
"""The newest of everything; then the lowest of what this project names, with the newest of what those name in turn."""
MODEL = "gemini-3.8-flash"
REQUEST = '{"key": "a", "request": {"contents": [{"parts": [{"text": "Say hello."}]}]}}\n'
WORKBOOK = "import openpyxl; book = openpyxl.Workbook(); book.active.append(['text']); book.active.append(['hello']); "


class Environment:
    """An empty environment in a folder of its own, whose commands see neither a key nor the user's home."""

    def __init__(self, folder: Path) -> None:
        """Create it with the Python that runs this."""
        self.folder = folder
        self.bin = folder / "env" / "bin"
        self._env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GENAI_", "GEMINI_", "GOOGLE_", "PYTHON"))
        }
        self._env |= {"GENAI_BATCH_HOME": str(folder / "home"), "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        self.run(UV, "venv", "--quiet", "--python", sys.executable, "env")

    def run(self, *command: str) -> str:
        """Run a command in the folder and return what it prints; end everything if it fails."""
        done = subprocess.run(command, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def install(self, wheel: str, requirements: list[str], resolution: str) -> None:
        """Install a wheel with what it requires; uv takes the lowest only of what is named to it, so it is named."""
        uv = (UV, "pip", "--quiet")
        python = ("--python", str(self.bin / "python"))
        self.run(*uv, "install", *python, "--resolution", resolution, wheel, *requirements)
        self.run(*uv, "check", *python)

    def packages(self) -> dict[str, str]:
        """The installed packages and their versions."""
        listed = self.run(UV, "pip", "freeze", "--quiet", "--python", str(self.bin / "python"))
        pairs = (line.partition("==") for line in listed.splitlines())
        return {name: version for name, _, version in pairs if version}


def check(wheel: Path, resolution: str, folder: Path) -> dict[str, str]:
    """Install and use the wheel; the versions that were chosen."""
    environment = Environment(folder)
    environment.install(str(wheel), NEEDED, resolution)
    surplus = (development_packages() | set(map(_name, DATA))) & environment.packages().keys()
    if surplus:
        sys.exit(f"{resolution}: packages came with the wheel that it does not need: {', '.join(sorted(surplus))}")
    environment.run("genai-batch", "demo")
    version = environment.run("genai-batch", "--version").strip()
    if version != wheel.name.split("-")[1]:
        sys.exit(f"{resolution}: genai-batch --version prints {version!r}, the wheel is {wheel.name}")
    environment.install(f"{wheel}[data]", NEEDED + DATA, resolution)
    (folder / "requests.jsonl").write_text(REQUEST)
    environment.run("genai-batch", "run", "requests.jsonl", "--model", MODEL, "--output", "answers.parquet")
    environment.run("python", "-c", WORKBOOK + "book.save('table.xlsx')")
    for table in ("answers.parquet", "table.xlsx"):
        environment.run("genai-batch", "build", table, "--prompt", "{{ text }}", "--output", f"{table}.jsonl")
    return environment.packages()


def development_packages() -> set[str]:
    """The names in the dev group, but for those of the extra."""
    return set(map(_name, PROJECT["dependency-groups"]["dev"])) - set(map(_name, DATA))


def _name(requirement: str) -> str:
    return requirement.split(">")[0].split("=")[0].replace("_", "-").lower()


def main() -> None:
    """Check every way of choosing releases and print the versions of what this project names itself."""
    [wheel] = Path(sys.argv[1]).resolve().glob("*.whl")
    named = set(map(_name, NEEDED + DATA))
    for resolution in RESOLUTIONS:
        with tempfile.TemporaryDirectory() as folder:
            versions = check(wheel, resolution, Path(folder))
        chosen = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()) if name in named)
        print(f"{resolution}: the demo plays with {chosen}")  # noqa: T201 - what was proved


if __name__ == "__main__":
    main()
