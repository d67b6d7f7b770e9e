"""No key and no path of a user's makes a file name that collides, leaves its folder, or means something to a system."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genai_batch.resources.exports.folder import ended
from genai_batch.resources.media import names
from genai_batch.resources.media.kinds import JPEG, PNG, WAV, Kind

DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    "conin$",
    "conout$",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"),
}
FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
DEVICE_LIKE = st.sampled_from(sorted(DEVICES)).flatmap(
    lambda name: st.sampled_from([name, name.upper(), f"{name}.png", f"{name} .txt", f"{name}:", f"x/{name}"])
)
NASTY = st.sampled_from(
    ["..", ".", "/", "\\", "a/../b", "C:\\x", "\0", " ", "a.", "-rf", "~", "é", "e\u0301", "İ", "ß", "SS", "ﬁ"]
)
KEYS = st.one_of(
    st.text(min_size=1, max_size=512), st.text("abAB01.-_/é", min_size=1, max_size=8), DEVICE_LIKE,
    st.lists(NASTY, min_size=1, max_size=6).map("".join),
)  # fmt: skip


def on_any_disk(name: str) -> str:
    """What a file system that knows neither case nor Unicode forms makes of a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


@given(KEYS)
def test_a_name_stays_in_its_folder_on_every_system(key: str) -> None:
    name = names.numbered(names.stem(key), 0, "png")
    assert PurePosixPath(name).name == PureWindowsPath(name).name == name
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set('<>:"/\\|?* ')
    assert not name.startswith((".", "-", "~"))
    assert name.partition(".")[0].lower() not in DEVICES
    assert len(name) < 140


@given(st.lists(st.tuples(KEYS, st.integers(0, 12)), min_size=2, max_size=40, unique=True))
def test_no_two_pieces_share_a_name_on_any_disk(pieces: list[tuple[str, int]]) -> None:
    assert len({on_any_disk(names.numbered(names.stem(key), index, "png")) for key, index in pieces}) == len(pieces)


@given(KEYS)
@example("photo-1")
@example("\u00e9")
def test_keys_that_differ_in_case_or_unicode_form_alone_do_not_share_a_name(key: str) -> None:
    forms = {key, key.upper(), key.lower(), key.title(), *(unicodedata.normalize(form, key) for form in FORMS)}
    assert len({on_any_disk(names.stem(each)) for each in forms}) == len(forms)


@given(KEYS, st.integers(0, 3))
def test_a_key_that_is_the_name_of_another_gets_one_of_its_own(key: str, index: int) -> None:
    name = names.numbered(names.stem(key), index, "png")
    for other in (names.stem(key), name, name.removesuffix(".png")):
        if other != key:
            assert names.stem(other) != names.stem(key)
            assert names.numbered(names.stem(other), 0, "png") != name


@pytest.mark.parametrize("key", ["photo-1", "req1", "a", "2026_row.b", "laptop"])
def test_a_plain_key_is_its_own_name(key: str) -> None:
    assert names.stem(key) == key


@given(st.one_of(st.text(max_size=40), KEYS, st.lists(KEYS, max_size=4).map("/".join)))
def test_a_path_that_is_taken_stays_inside_on_every_system(path: str) -> None:
    if names.fault(path):
        return
    for pure in (PurePosixPath(path), PureWindowsPath(path)):
        assert not pure.is_absolute()
        assert not pure.drive
        assert ".." not in pure.parts
        assert not {part.partition(".")[0].strip().lower() for part in pure.parts} & DEVICES


@pytest.mark.parametrize(
    "path",
    [
        "../x.png",
        "a/../../x",
        "/etc/x",
        "C:/x",
        "a\\b",
        "~/x",
        "nul",
        "a/COM1.txt",
        "a//b",
        "",
        "x\0",
        "a./b",
        "é" * 600,
        "./a",
    ],
)
def test_a_path_that_leaves_or_breaks_is_refused(path: str) -> None:
    assert names.fault(path)


@pytest.mark.parametrize(
    ("path", "index", "kind", "made"),
    [
        ("shoes/red.png", 0, PNG, "shoes/red.png"),
        ("shoes/red.png", 2, PNG, "shoes/red.2.png"),
        ("red.jpeg", 0, JPEG, "red.jpeg"),
        ("red.PNG", 0, JPEG, "red.jpg"),
        ("v1.2", 0, WAV, "v1.2.wav"),
        ("red", 0, WAV, "red.wav"),
        ("post.md", 0, Kind("text/plain", "txt"), "post.md"),
        ("post.png", 0, Kind("text/plain", "txt"), "post.txt"),
    ],
)
def test_a_file_ends_as_what_it_holds(path: str, index: int, kind: Kind, made: str) -> None:
    assert ended(path, index, kind) == made
