"""The parts of a report's page keep their promises whatever they are given."""

import base64
import io
import wave

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genai_batch.resources.report.gallery import IMAGE_BYTES, IMAGES, SIDE, SOUND_BYTES, Gallery
from genai_batch.resources.report.plots import histogram
from genai_batch.resources.report.spread import Spread
from genai_batch.resources.report.text import duration, visible


@given(st.lists(st.integers(0, 10**9) | st.integers(0, 50), min_size=1, max_size=300))
def test_every_row_is_in_one_bin_of_a_few_and_the_quantiles_are_rows(values: list[int]) -> None:
    spread = Spread()
    spread.add(values)
    bins = spread.bins()
    assert len(bins) <= 26
    for one in bins:
        assert one.rows == sum(one.start <= value < one.end or value == one.start == one.end for value in values)
    assert sum(one.rows for one in bins) == len(values)
    assert (spread.quantile(0), spread.quantile(1), spread.total) == (min(values), max(values), sum(values))
    assert histogram(bins, "t", "u").count("<rect") == sum(one.rows > 0 for one in bins)


def test_many_different_numbers_are_kept_to_three_digits_in_little_memory() -> None:
    spread = Spread()
    spread.add(range(1_000_000))
    assert spread.rows == 1_000_000
    assert abs(spread.quantile(0.5) - 500_000) <= 5_000
    assert spread.largest == 999_999


def test_large_pictures_are_made_small_and_long_sounds_cut() -> None:
    gallery = Gallery()
    gallery.offer(1, "a", noise(2_000, 1_000), "image/png")
    gallery.offer(2, "b", sound(60), "audio/wav")
    picture, heard = gallery.items
    with Image.open(io.BytesIO(content(picture.source))) as small:
        assert small.size == (picture.width, picture.height) == (SIDE, SIDE // 2)
    assert picture.note == "2000 x 1000, made small"
    with wave.open(io.BytesIO(content(heard.source))) as short:
        assert short.getnframes() == 5 * 24_000
    assert heard.note == "the first 5 s of 1 min"


def test_what_is_no_picture_or_claims_too_many_pixels_is_left_out() -> None:
    gallery = Gallery()
    bomb = noise(1, 1).replace(b"\x00\x00\x00\x01\x00\x00\x00\x01", b"\x00\x01\x00\x00\x00\x01\x00\x00", 1)
    for fake in (b"<svg onload=x>", b"", bomb, noise(900, 900)[:90_000]):
        gallery.offer(1, "a", fake, "image/png")
    gallery.offer(1, "a", b"<svg/>", "image/svg+xml")
    gallery.offer(1, "a", b"RIFF", "audio/wav")
    gallery.offer(1, "a", b"x", "text/html")
    assert (gallery.items, gallery.left_out) == ([], 7)


def test_a_gallery_has_an_end() -> None:
    gallery, picture, long = Gallery(), noise(400, 300), sound(30)
    for number in range(IMAGES + 9):
        gallery.offer(number, "a", picture, "image/png")
        gallery.offer(number, "a", long, "audio/wav")
    assert len(gallery.of("image")) <= IMAGES
    assert sum(len(item.source) for item in gallery.of("image")) <= IMAGE_BYTES
    assert 0 < sum(len(item.source) for item in gallery.of("audio")) <= SOUND_BYTES
    assert len(gallery.items) + gallery.left_out == 2 * (IMAGES + 9)


def test_what_cannot_be_seen_is_written_and_words_of_every_script_stay() -> None:
    kept = "日本語　全角, العربية, हिन्दी, 👩‍👩‍👧, naïve\tx\ny"
    assert visible(kept, 100) == kept
    assert visible("\x1b\x00\x7f\x85\u202e\u200b\u061c\ufeff\u2028\U000e0041", 200) == (
        "\\x1b\\x00\\x7f\\x85\\u202e\\u200b\\u061c\\ufeff\\u2028\\U000e0041"
    )
    assert visible("a\r\nb", 10) == "a\nb"
    assert len(visible("\u202e" * 10**6, 50)) == 50


def test_a_time_is_said_in_its_two_largest_units() -> None:
    said = {0.04: "0.0 s", 9.94: "9.9 s", 61: "1 min 1 s", 3_600: "1 h", 90_061: "1 d 1 h"}
    assert {seconds: duration(seconds) for seconds in said} == said


def noise(width: int, height: int) -> bytes:
    """A PNG that does not get smaller by packing."""
    file = io.BytesIO()
    Image.effect_noise((width, height), 90).save(file, "PNG")
    return file.getvalue()


def sound(seconds: int) -> bytes:
    """A WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((1, 2, 24_000, 0, "NONE", "not compressed"))
        made.writeframes(bytes(2 * 24_000 * seconds))
    return file.getvalue()


def content(source: str) -> bytes:
    """The bytes of a data: URI."""
    return base64.b64decode(source.partition(",")[2])


def test_the_axis_of_a_plot_is_labelled_to_its_end_beyond_a_million() -> None:
    spread = Spread()
    spread.add([3, 40_000, 700_000, 20_000_000, 3_000_000_000])
    plot = histogram(spread.bins(), "t", "bytes")
    assert all(f">{label}</text>" in plot for label in ("100k", "10M", "1G"))
