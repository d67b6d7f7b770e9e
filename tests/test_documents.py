"""The documents do not lie: every command, tool call and block in README.md, SKILL.md and docs/ is run."""

import ast
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, call, finish, row, start

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "SKILL.md", "docs/files.md")
SQLITE3 = """#!{python}
import sqlite3, sys
_, option, path, sql = sys.argv
for row in sqlite3.connect(f"file:{{path}}?mode=ro", uri=True).execute(sql):
    print(*("" if value is None else value for value in row), sep="|")
"""
"""What the documents ask of the program of that name, for machines without it."""


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> "):
            found[-1] = (found[-1][0] + "\n" + line[2:], [])
        else:
            found[-1][1].append(line)
    return found


def prints(said: list[str]) -> re.Pattern[str]:
    """A pattern for what a document says is printed; … stands for anything."""
    return re.compile(r"\s*" + ".*".join(map(re.escape, "\n".join(said).split("…"))), re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_every_command_runs_and_prints_what_is_said(world: World, document: str) -> None:
    script: list[str] = []
    said: list[list[str]] = []
    for text, lines in (each for block in blocks(document, "console") for each in commands(block)):
        script += [text, "printf '\\0'"]
        said.append(lines)
    env = world.env()
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    if shutil.which("sqlite3") is None:
        (world.home / "bin").mkdir(parents=True)
        (world.home / "bin" / "sqlite3").write_text(SQLITE3.format(python=sys.executable))
        (world.home / "bin" / "sqlite3").chmod(0o755)
        env["PATH"] += f"{os.pathsep}{world.home / 'bin'}"
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(script)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=world.work,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for printed, lines in zip(done.stdout.split("\0"), said, strict=False):
        assert prints(lines).match(printed), (printed, lines)


async def test_the_readme_installs_the_commands_before_it_uses_them() -> None:
    text = (ROOT / "README.md").read_text()
    before, _, after = text.partition("\n## Install\n")
    lines = after.partition("\n```sh\n")[2].partition("```")[0].splitlines()
    assert "```" not in before
    assert [line.split()[0] for line in lines] == ["cd", "pipx", "genai-batch"]
    assert "#" not in "".join(lines), "an interactive zsh takes no comments"
    assert "uv tool install" in after.partition("\n## ")[0]


async def test_the_index_answers_every_question_and_has_the_columns_that_are_documented(world: World) -> None:
    await world.arm("row", match={"key": "^k1$"}, outcome="error", code=13)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(4)]))
        await finish(client, job_id)
    text = (ROOT / "docs" / "files.md").read_text()
    with sqlite3.connect(world.home / "jobs" / job_id / "results.db") as index:
        assert index.execute("select outcome, count(*) from rows group by 1").fetchall() == [("error", 1), ("ok", 3)]
        for block in blocks("docs/files.md", "sql"):
            for question in filter(None, map(str.strip, block.split(";"))):
                assert index.execute(question).fetchall(), question
        assert index.execute("SELECT key, error_code FROM rows WHERE outcome = 'error'").fetchall() == [("k1", "13")]
        for table in ("rows", "totals"):
            described = text[text.index(f"### `{table}`") :]
            for _, name, kind, *_ in index.execute(f"PRAGMA table_info({table})"):
                assert f"`{name}`" in described[: described.index("\n### ")], name
                assert table == "totals" or f"| {kind.lower()} |" in described
        assert [name for (name,) in index.execute("SELECT name FROM about") if f"`{name}`" not in text] == []
    index.close()


async def test_every_tool_call_of_the_skill_is_answered(world: World) -> None:
    names: dict[str, Any] = {}
    for text, _ in commands(blocks("SKILL.md", "console")[0]):
        subprocess.run(["bash", "-c", text], cwd=world.work, check=True)
    async with world.client() as client:
        for line in "".join(blocks("SKILL.md", "tools")).splitlines():
            asked = ast.parse(line, mode="eval").body
            assert isinstance(asked, ast.Call)
            assert isinstance(asked.func, ast.Name)
            arguments = {word.arg: _value(word.value, names) for word in asked.keywords if word.arg}
            answer = await call(client, asked.func.id, **arguments)
            if asked.func.id == "create_batch":
                names["JOB"] = answer["job_id"]
                await finish(client, names["JOB"])
    assert (world.work / "answers.jsonl").read_text().count("\n") == 2


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    return names[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_every_json_block_is_json(document: str) -> None:
    for block in blocks(document, "json"):
        json.loads(block)


async def test_the_scenario_in_the_readme_is_one_the_emulator_takes(world: World) -> None:
    from genai_batch.server.emulator import create_app

    scenarios = [json.loads(block) for block in blocks("README.md", "json") if '"faults"' in block]
    assert len(scenarios) == 1
    create_app(world.home / "other", scenarios[0])


async def test_the_skill_keeps_the_open_standard() -> None:
    _, head, body = (ROOT / "SKILL.md").read_text().split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fields["name"])
    assert len(fields["name"]) <= 64
    assert 1 <= len(fields["description"]) <= 1_024
    assert "Use when" in fields["description"]
    assert len(fields["compatibility"]) <= 500
    assert len(body.splitlines()) < 500


async def test_the_table_of_tools_in_the_readme_is_the_one_the_server_offers(
    world: World, pytestconfig: pytest.Config
) -> None:
    async with world.client() as client:
        tools = (await client.list_tools()).tools
    rows = "".join(
        f"| `{tool.name}({', '.join(tool.input_schema['properties'])})` | {tool.description} |\n" for tool in tools
    )
    text = (ROOT / "README.md").read_text()
    before, rest = _around(text)
    made = f"{before}{rows}{rest}"
    if pytestconfig.getoption("--write-surface"):
        (ROOT / "README.md").write_text(made)
    assert made == (ROOT / "README.md").read_text(), "run `make surface`"


def _around(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*<!-- tools.*?\|---\|---\|\n).*?(<!-- end of tools.*)", text, re.DOTALL)
    assert found
    return found[1], found[2]


async def test_every_setting_and_command_is_documented() -> None:
    text = (ROOT / "README.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "genai_batch").rglob("*.py"))
    for setting in set(re.findall(r"(?<!_)GENAI_BATCH_[A-Z_]+", source)):
        assert f"`{setting}`" in text, setting


async def test_the_versions_agree() -> None:
    import genai_batch

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == genai_batch.__version__


async def test_no_tracked_file_names_a_registry_or_a_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(reason="not a git checkout")
    registries = re.compile(r"py(pi|thonhosted)\.(org|python)|registry\.np" + r"m|deb\.deb" + r"ian")
    for name in filter(None, listed.stdout.split("\0")):
        text = (ROOT / name).read_text(errors="replace") if (ROOT / name).is_file() else ""
        assert not registries.search(text), name
