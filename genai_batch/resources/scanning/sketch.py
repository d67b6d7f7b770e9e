"""Whether a source may hold equal requests, by a sample that the lines themselves decide on.

Of a small source every request is looked at. Of a larger one the lines of some lengths are: those of equal requests
are mostly of one length, so that both are in the sample or none is. There they show if they are written alike; whether
others are equal to them is for `equals.count` to see, which reads the source again once there is a sign.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

CLASSES, MANY_CLASSES = 16, 64
"""Lengths are parted into so many classes, of which one is looked at where lengths differ: more in a large source."""
_ENOUGH = 2_048
"""Requests that are remembered before lengths are parted into more classes."""
_PATIENCE = 4 * MANY_CLASSES
"""Lines after which another class is looked at where none was of those that are."""
_MOST = 32_768
"""Requests that are remembered; of more than that those stay whose hashes fall into a smaller and smaller share."""
_LONG, _PIECE = 512, 128
_BEFORE_KEY = len('{"key":""')
"""Bytes into a line before which a request stands only if the key stands behind it."""
_encode = msgspec.json.Encoder(order="deterministic").encode


class Sketch:
    """Remembers a sample of the requests as hashes, which compare only within one process."""

    def __init__(self, *, is_small: bool) -> None:
        """Remember nothing yet; of a small source every request is looked at, of another some lines."""
        self._is_small = is_small
        self.has_equal = False
        """Whether two requests of the sample seem to be equal."""
        self._seen = set[int]()
        self._mask = 0
        self._last = CLASSES - 1
        self._is_chosen = [False] * CLASSES
        self._passed = _PATIENCE

    def add(self, request: dict[str, Any]) -> None:
        """Look at a request, if the source is small."""
        if self._is_small and not self.has_equal:
            value = hash(_encode(request).replace(b".0", b""))  # 1.0 is equal to 1
            self.has_equal = value in self._seen
            self._seen.add(value)

    def add_lines(self, lines: Sequence[bytes], changed: Mapping[int, bytes], sizes: Sequence[int]) -> None:
        """Look at those lines of a run that have the lengths that are chosen.

        `changed` is what is sent in the place of a line, `sizes` are the bytes of what is sent.
        """
        if self.has_equal:
            return
        is_chosen, last = self._is_chosen, self._last
        places = [place for place, size in enumerate(sizes) if is_chosen[size & last]]
        if not places:
            places = self._choose(sizes)
        elif self._passed:
            self._passed = 0
        self._remember([hash(_of_request(changed.get(place, lines[place]))) for place in places if sizes[place]])

    def _choose(self, sizes: Sequence[int]) -> list[int]:
        """Look at the rarest class of lengths too, once none was met for long; return the places that are in it."""
        self._passed += len(sizes)
        if self._passed < _PATIENCE:
            return []
        self._passed = 0
        rarest = min(Counter(size & self._last for size in sizes).items(), key=lambda pair: pair[::-1])[0]
        self._is_chosen[rarest] = True
        return [place for place, size in enumerate(sizes) if size & self._last == rarest]

    def _remember(self, values: list[int]) -> None:
        seen, mask = self._seen, self._mask
        for value in values:
            if not value & mask:
                if value in seen:
                    self.has_equal = True
                seen.add(value)
        if len(seen) > _ENOUGH and self._last < CLASSES:
            self._last = MANY_CLASSES - 1
            self._is_chosen += [False] * (MANY_CLASSES - CLASSES)
        if len(seen) > _MOST:
            self._mask = 2 * mask + 1
            self._seen = {value for value in seen if not value & self._mask}


def _of_request(line: bytes) -> bytes:
    """What a line holds beside its key, or of a long one some pieces of it."""
    start = line.find(b'"request"')
    end = line.rfind(b'"key"') if start < _BEFORE_KEY else len(line)
    if end - start <= _LONG:
        return line[start:end]
    middle = (start + end) // 2
    return line[start : start + _PIECE] + line[middle : middle + _PIECE] + line[end - _PIECE : end]
