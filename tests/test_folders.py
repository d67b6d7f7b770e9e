"""Folders as people have them: deep, mixed, with files that cannot be used; each file is a request or is told."""

import os
import sys
from pathlib import Path

import pytest

from tests.built import built, manifest, picture, prompt, prompts, put
from tests.world import MODEL, World, call, refusal

pytestmark = pytest.mark.anyio


async def test_asset_migration_ten_thousand_files_in_nested_folders(world: World) -> None:
    for n in range(10_000):
        path = world.work / f"old/{n % 10}/{n // 10 % 10}/{n}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Asset {n}.")
    async with world.client() as client:
        fields = {"output": "new/{{ path }}.md"}
        made = await built(client, world, folder="old", prompt="Convert:\n{{ text }}", fields=fields)
    assert len(made) == len({row["output"] for row in made}) == 10_000
    found = {row["key"]: row for row in made}
    assert prompt(found["7/9/9997.txt"]) == "Convert:\nAsset 9997."
    assert found["7/9/9997.txt"]["output"] == "new/7/9/9997.txt.md"


async def test_a_file_is_what_its_bytes_are(world: World) -> None:
    kinds = {"a.txt": picture(), "b.png": b"%PDF-1.4\n", "c": b"Plain words.", "d.dat": b"RIFF\0\0\0\0WAVEfmt "}
    put(world, {f"in/{name}": content for name, content in kinds.items()})
    async with world.client() as client:
        made = await built(client, world, folder="in", prompt="What is it?")
    parts = {row["key"]: row["request"]["contents"][0]["parts"][0] for row in made}
    assert {key: part["inlineData"]["mimeType"] for key, part in parts.items() if "inlineData" in part} == {
        "a.txt": "image/png", "b.png": "application/pdf", "d.dat": "audio/wav",
    }  # fmt: skip
    assert parts["c"] == {"text": "Plain words."}


async def test_what_cannot_be_used_is_named_and_left_out_or_refused(world: World) -> None:
    bad = {"empty.txt": b"", "blank.txt": b" \n", "latin.txt": b"x" * 99 + b"caf\xe9", "app.bin": b"\0\1\2\3"}
    put(world, {f"in/{name}": content for name, content in bad.items()} | {"in/good.txt": "Words."})
    put(world, {"in/huge.pdf": b"%PDF-" + b"x" * 15_000_000})
    locked = world.work / "in/locked.txt"
    locked.write_text("secret")
    locked.chmod(0)
    left_out = ["empty.txt", "blank.txt", "latin.txt", "app.bin", "huge.pdf"] + ["locked.txt"] * (os.geteuid() != 0)
    async with world.client() as client:
        given = {"folder": "in", "prompt": "Sum up.", "fields": {"ignore": "locked*"} if os.geteuid() == 0 else {}}
        answer = await call(client, "build_requests", output_path="a.jsonl", **given)
        assert (answer["requests"], answer["warning_count"]) == (1, len(left_out))
        told = " ".join(each["problem"] for each in answer["warnings"])
        assert all(name in told for name in left_out)
        assert "has 15.0 MB; a request carries 14 MB itself" in told
        fields = {"strict": True, "ignore": ["locked*"]}
        strict = await refusal(client, "build_requests", output_path="b.jsonl", folder="in", prompt="x", fields=fields)
    assert "5 problems" in strict


async def test_hidden_ignored_and_foreign_files_are_left_out(world: World) -> None:
    names = ["a.md", "b.MD", "c.txt", ".hidden.md", ".git/d.md", "drafts/e.md", "deep/x/f.md", "deep/node_modules/g.md"]
    put(
        world,
        {f"in/{name}": "Words." for name in names}
        | {"in/.genaibatchignore": "node_modules/\n", "out/secret.md": "No."},
    )
    (world.work / "in/link.md").symlink_to(world.work / "out/secret.md")
    (world.work / "in/loop").symlink_to(world.work / "in", target_is_directory=True)
    (world.work / "in/same.md").symlink_to(world.work / "in/a.md")
    async with world.client() as client:
        fields = {"include": ["*.md"], "ignore": ["drafts"]}
        made = await built(client, world, folder="in", prompt="Sum up.", fields=fields)
    assert [row["key"] for row in made] == ["a.md", "b.MD", "same.md", "deep/x/f.md"]


async def test_hostile_names_are_keys_and_paths_like_others(world: World) -> None:
    names = ["{{ 7*7 }}.txt", "a\nb.txt", "'; DROP TABLE keys;--.txt", "\u202egpj.txt", "Ü b.txt", "$(id).txt"]
    put(world, {f"in/{name}": "Words." for name in names})
    async with world.client() as client:
        given = {"folder": "in", "prompt": "{{ name }}", "model": MODEL}
        told = await call(client, "build_requests", output_path="a.jsonl", **given)
        assert (told["requests"], told["warnings"][0]["fix"]) == (5, "rename it")
        assert "a\\nb.txt' has a name with control characters" in told["warnings"][0]["problem"]
        strict = {"output_path": "b.jsonl", "fields": {"strict": True}, **given}
        assert "a name with control characters" in await refusal(client, "build_requests", **strict)
        made = await built(client, world, **given)
    assert prompts(made)["{{ 7*7 }}.txt"].endswith("{{ 7*7 }}.txt")
    assert len(made) == 5


async def test_several_files_of_a_folder_make_one_request(world: World) -> None:
    put(
        world,
        {
            "in/mug/1.png": picture(),
            "in/mug/2.png": picture("blue"),
            "in/mug/spec.txt": "Blue.",
            "in/cup/1.png": picture(),
        },
    )
    source = manifest(world, folder="in", group="folder", prompt="Describe {{ name }}.", output="{{ path }}.md")
    async with world.client() as client:
        made = await built(client, world, data=source)
    assert [(row["key"], row["output"]) for row in made] == [("cup", "cup.md"), ("mug", "mug.md")]
    assert [next(iter(part)) for part in made[1]["request"]["contents"][0]["parts"]] == ["inlineData"] * 2 + [
        "text"
    ] * 2
    assert made[1]["files"] == ["mug/1.png", "mug/2.png", "mug/spec.txt"]


async def test_outputs_that_would_be_one_file_are_refused(world: World) -> None:
    put(world, {"in/a.jpg": picture(form="JPEG"), "in/a.png": picture()})
    source = manifest(world, folder="in", prompt="x", output="{{ stem }}.md")
    async with world.client() as client:
        assert "output 'a.md' is that of file 'a.jpg'" in await refusal(client, "create_batch", source=source)


async def test_a_folder_outside_the_roots_is_not_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/a.txt").write_text("No.")
    async with world.client() as client:
        for name in ("../else", str(tmp_path / "else")):
            answer = await refusal(client, "build_requests", output_path="a.jsonl", folder=name, prompt="x")
            assert "lies outside" in answer


def put_oddly_named(world: World) -> None:
    """Write a file whose name is in an older encoding."""
    Path(os.fsdecode(bytes(world.work / "in") + b"/caf\xe9.txt")).write_text("Words.")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
async def test_a_name_that_is_not_utf8_is_told_and_left_out(world: World) -> None:
    put(world, {"in/good.txt": "Words."})
    put_oddly_named(world)
    async with world.client() as client:
        answer = await call(client, "build_requests", output_path="a.jsonl", folder="in", prompt="x")
    assert answer["requests"] == 1
    assert "caf\\udce9.txt' has a name that is not UTF-8" in answer["warnings"][0]["problem"]
