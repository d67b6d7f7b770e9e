"""Calls whose requests name local files: each file is uploaded when the first row needs it, and all rows share it."""

from typing import Literal

import msgspec

from genai_batch.resources.errors import FileUnusable, ProviderError
from genai_batch.resources.local_files import LocalFiles, named_in
from genai_batch.resources.uploads import Upload
from genai_batch.tools.lanes.derived import placed
from genai_batch.tools.lanes.live.caller import Caller, NoReply, Reply
from genai_batch.tools.lanes.refusals import Refusal, refusal_of
from genai_batch.tools.lanes.uploading import LIVE_S, Uploads

_STATUS: dict[str, Literal[400, 401, 403, 404, 429]] = {
    "invalid": 400, "key": 401, "permission": 403, "missing": 404, "quota": 429, "day": 429,
}  # fmt: skip
"""Refusals of an upload, as the reply to a call that means the same."""


class Filed:
    """A caller that puts URIs in the places of local files, for one run of a job."""

    def __init__(self, call: Caller, uploads: Uploads, files: LocalFiles) -> None:
        """Send through `call`."""
        self._call, self._uploads, self._files = call, uploads, files
        self._known: dict[str, Upload] = {}
        self._bad: dict[str, FileUnusable] = {}
        self._renewed: set[str] = set()

    async def __call__(self, body: bytes, seconds: float) -> Reply:
        """Post a body once its files are there; one that Gemini does not show any more is uploaded again once a run.

        Raises:
            NoReply: nothing came back, or a file cannot be uploaded just now.
        """
        if not (contents := dict.fromkeys(named_in(body))):
            return await self._call(body, seconds)
        try:
            used = [await self._upload(each) for each in contents]
            reply = await self._call(placed(body, {each.content: each.uri for each in used}), seconds)
            if lost := [each for each in used if self._may_renew(each, reply)]:
                for each in lost:
                    self._renew(each)
                used = [await self._upload(each) for each in contents]
                reply = await self._call(placed(body, {each.content: each.uri for each in used}), seconds)
        except FileUnusable as error:
            return _refused(400, str(error), "FAILED_PRECONDITION")
        except ProviderError as error:
            if error.reason not in _STATUS:
                raise NoReply(str(error), was_sent=False) from error
            return _refused(_STATUS[error.reason], str(error), refusal=refusal_of(error))
        return reply

    async def _upload(self, content: str) -> Upload:
        """The upload of a file, from memory while it lives."""
        if content in self._bad:
            raise self._bad[content]
        known = self._known.get(content)
        if known is not None and self._uploads.lives(known, LIVE_S):
            return known
        if (file := self._files.find(content)) is None:
            raise FileUnusable(f"{self._files.path} does not say which file {content[:16]}… is; nothing was sent.")
        try:
            self._known[content] = made = await self._uploads.get(file, LIVE_S)
        except FileUnusable as error:
            self._bad[content] = error
            raise
        return made

    def _may_renew(self, upload: Upload, reply: Reply) -> bool:
        """Whether a reply says that this file is not there, and it was not uploaded again for that before."""
        is_lost = reply.status in (403, 404) and upload.name.removeprefix("files/").encode() in reply.body
        return is_lost and (upload.content not in self._renewed or self._known.get(upload.content) != upload)

    def _renew(self, upload: Upload) -> None:
        """Have a file uploaded again by whoever needs it next, unless that was done since the call left."""
        if self._known.get(upload.content) == upload:
            del self._known[upload.content]
            self._renewed.add(upload.content)
            self._uploads.forget(upload)


def _refused(status: int, said: str, name: str | None = None, refusal: Refusal | None = None) -> Reply:
    error = {"code": status, "message": said, **({"status": name} if name else {})}
    return Reply(status, msgspec.json.encode({"error": error}), refusal=refusal)
