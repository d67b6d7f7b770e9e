"""Pictures and sounds of results are files and blobs that ordinary programs open, whatever Gemini called them."""

import io
import json
import wave
from base64 import b64decode, b64encode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import BlobResourceContents, TextResourceContents
from PIL import Image

from genai_batch.resources.errors import BatchError
from genai_batch.resources.media.decoding import decode, kind
from genai_batch.resources.media.kept import Kept
from genai_batch.server.emulator.media import photograph, picture
from tests.world import World, call, finish, read, row, start

pytestmark = pytest.mark.anyio
IMAGES, SPEECH = "gemini-nano-banana-2.1", "gemini-3.8-flash-tts"
SAMPLES = bytes(range(256)) * 12
PNG, JPEG = b64decode(picture(b"seed")), b64decode(photograph(b"seed"))
LARGE = b64decode(picture(b"seed", 400_000))


def blob(content: bytes, claimed: str) -> dict[str, Any]:
    return {"mimeType": claimed, "data": b64encode(content).decode()}


async def finished(client: Client, world: World, keys: list[str], model: str) -> str:
    asked = {"response_modalities": ["AUDIO"]} if model == SPEECH else {}
    rows = [row(key, f"Make {key}.", **asked) for key in keys]
    job_id = await start(client, world.write("a.jsonl", rows), model=model)
    await finish(client, job_id)
    return job_id


@pytest.mark.parametrize(("model", "ending"), [(IMAGES, "png"), ("gemini-3-pro-image", "jpg"), (SPEECH, "wav")])
async def test_an_agent_gets_the_path_of_a_file_that_opens(world: World, model: str, ending: str) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, ["tide"], model)
        line = (await call(client, "get_results", job_id=job_id))["results"][0]
        path = world.home / "jobs" / job_id / "media" / f"tide.{ending}"
        assert line["media"][0]["path"] == str(path)
        assert (await read(client, line["uri"]))["media"] == line["media"]
        served = (await client.read_resource(line["media"][0]["uri"])).contents[0]
    assert isinstance(served, BlobResourceContents)
    assert b64decode(served.blob) == path.read_bytes()
    assert served.mime_type == line["media"][0]["mime_type"]
    if ending == "wav":
        with wave.open(str(path)) as sound:
            assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
            assert sound.getnframes() == 6_000
    else:
        with Image.open(path) as shown:
            shown.load()
            assert shown.size == (32, 32)


async def test_of_a_large_picture_a_host_gets_a_reduced_copy_and_the_path_of_the_whole(world: World) -> None:
    await world.arm("row", match={"key": "^large$"}, outcome="ok", output_chars=400_000)
    async with world.client() as client:
        job_id = await finished(client, world, ["large", "small"], IMAGES)
        reply = await client.read_resource(f"batch://jobs/{job_id}/media/large/0")
        small = await client.read_resource(f"batch://jobs/{job_id}/media/small/0")
    copy, told = reply.contents
    assert isinstance(copy, BlobResourceContents)
    assert isinstance(told, TextResourceContents)
    with Image.open(io.BytesIO(content := b64decode(copy.blob))) as shown:
        assert f"image/{str(shown.format).lower()}" == copy.mime_type
    assert len(content) <= 100_000
    about = json.loads(told.text)
    assert about == copy.meta
    with Image.open(about["path"]) as whole:
        assert whole.size == (about["width"], about["height"]) == (316, 316)
    assert len((world.home / about["path"]).read_bytes()) == about["bytes"] > 100_000
    assert [content.mime_type for content in small.contents] == ["image/png"]


async def test_a_later_attempt_has_files_of_its_own(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, ["a"], IMAGES)
        first = (await call(client, "get_results", job_id=job_id))["results"][0]["media"][0]["path"]
        await world.arm("row", match={"key": "a"}, outcome="ok", output_chars=20_000)
        await call(client, "resume_job", job_id=job_id, rows=["a"])
        await finish(client, job_id)
        second = (await call(client, "get_results", job_id=job_id))["results"][0]["media"][0]["path"]
    with Image.open(first) as before, Image.open(second) as after:
        assert (before.size, after.size) == ((32, 32), (70, 70))


@pytest.mark.parametrize(
    ("content", "claimed", "mime_type", "suffix"),
    [
        (PNG, "image/jpeg", "image/png", "png"),
        (JPEG, "", "image/jpeg", "jpg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/png", "image/webp", "webp"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image/png", "image/avif", "avif"),
        (b"OggS\0\x02" + b"\0" * 20, "audio/mpeg", "audio/ogg", "ogg"),
        (b"ID3\x04" + b"\0" * 20, "audio/wav", "audio/mpeg", "mp3"),
        (b"\xff\xf3" + b"\0" * 20, "audio/mpeg", "audio/mpeg", "mp3"),
        (b"\xff\xf3" + b"\0" * 20, "audio/L16;rate=8000", "audio/wav", "wav"),
        (b"no picture at all", "image/png", "application/octet-stream", "bin"),
        (b"<svg onload='alert(1)'/>", "image/svg+xml", "application/octet-stream", "bin"),
        (b"<script>", "text/html", "application/octet-stream", "bin"),
        (b"MZ\x90", "application/x-msdownload", "application/octet-stream", "bin"),
        (b"mu-law", "audio/basic", "audio/basic", "bin"),
        (b"a,b\n", "text/csv; charset=utf-8", "text/csv", "csv"),
        (b"?", "../../x\0y/../z", "application/octet-stream", "bin"),
    ],
)  # fmt: skip
def test_content_tells_what_it_is_and_a_claim_only_where_nothing_contradicts(
    content: bytes, claimed: str, mime_type: str, suffix: str
) -> None:
    assert decode(blob(content, claimed)).kind == (mime_type, suffix)
    assert kind(blob(content, claimed)) == (mime_type, suffix)


@pytest.mark.parametrize(
    ("claimed", "channels", "width", "rate"),
    [
        ("audio/L16;codec=pcm;rate=24000", 1, 2, 24_000),
        ("audio/l16; rate=16000; channels=2", 2, 2, 16_000),
        ("audio/pcm;rate=8000;bits=8", 1, 1, 8_000),
        ("audio/L24;rate=48000;channels=2", 2, 3, 48_000),
        ("audio/x-pcm", 1, 2, 24_000),
        ("audio/L16;rate=0;channels=999", 1, 2, 24_000),
    ],
)
def test_bare_samples_become_a_wav_file_of_their_rate(claimed: str, channels: int, width: int, rate: int) -> None:
    found = decode(blob(SAMPLES + b"\x01", claimed)).content  # the last byte is no sample where one takes two
    with wave.open(io.BytesIO(found)) as sound:
        assert sound.getparams()[:3] == (channels, width, rate)
        whole = len(SAMPLES) + (width * channels == 1)
        assert sound.readframes(sound.getnframes()) == (SAMPLES + b"\x01")[:whole]
    assert decode(blob(found, claimed)).content == found


def test_both_alphabets_and_missing_padding_are_read() -> None:
    data = urlsafe_b64encode(SAMPLES + b"\xfb\xff").decode().rstrip("=")
    assert "-" in data
    assert decode({"mime_type": "audio/basic", "data": data}).content == SAMPLES + b"\xfb\xff"


@pytest.mark.parametrize("data", ["%%%", "é", "A", ["a"], {"a": 1}])
def test_what_is_no_base64_is_said_to_be_none(tmp_path: Path, data: Any) -> None:
    kept = Kept(tmp_path, "job_a")
    broken = {"mimeType": "image/png", "data": data}
    assert [(each.mime_type, each.path) for each in kept.listed("k", 1, [broken])] == [
        ("application/octet-stream", None)
    ]
    with pytest.raises(BatchError, match="media 0 of this result is not base64"):
        kept.served("k", 1, 0, broken)


@pytest.mark.parametrize(
    "content",
    [
        LARGE[: len(LARGE) // 2],
        LARGE.replace(b"\0\0\1\x3c\0\0\1\x3c", b"\0\0\xff\xff\0\0\xff\xff"),
        b"\x89PNG\r\n\x1a\n" + b"x" * 200_000,
    ],
)
def test_a_picture_that_is_cut_off_or_would_fill_the_memory_is_served_whole(tmp_path: Path, content: bytes) -> None:
    assert content != LARGE
    assert Kept(tmp_path, "job_a").served("k", 1, 0, blob(content, "image/png")) == (content, "image/png", None)


def test_a_picture_of_very_many_pixels_is_not_opened(tmp_path: Path) -> None:
    file = io.BytesIO()
    whole = Image.new("L", (6_400, 6_400))
    whole.paste(Image.effect_noise((400, 400), 90))
    whole.save(file, "PNG")
    assert len(file.getvalue()) > 100_000
    assert Kept(tmp_path, "job_a").served("k", 1, 0, blob(file.getvalue(), "image/png")).content == file.getvalue()


def test_a_large_picture_with_transparent_parts_keeps_them_when_reduced(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.effect_noise((600, 600), 90).convert("RGBA").save(file, "PNG")
    served = Kept(tmp_path, "job_a").served("k", 1, 0, blob(file.getvalue(), "image/png"))
    with Image.open(io.BytesIO(served.content)) as shown:
        assert (shown.format, served.mime_type) == ("WEBP", "image/webp")
    assert len(served.content) <= 100_000 < len(file.getvalue())
