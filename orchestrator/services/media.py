"""Files on their way to WhatsApp: streamed into the private folder that the sidecar reads, and gone after the send."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.domain.errors import (
    AddressForbidden,
    AddressUnreachable,
    FieldError,
    InvalidRequest,
    MediaAddressForbidden,
    MediaTooLarge,
    MediaTypeRefused,
    MediaUnreachable,
    SidecarUnavailable,
)
from orchestrator.domain.media import HEAD_BYTES, MediaKind, accepted_type, accepted_types, most_bytes
from orchestrator.outbound.client import OutboundClient
from orchestrator.wire.messages import MediaSource

#: A fetch may take this long altogether, and follow that many redirects.
_FETCH_SECONDS = 60.0
_REDIRECTS = 5
#: Files that are staged at a time; others wait, so that disk and bandwidth are shared.
_AT_ONCE = 32
#: What is gathered before a thread writes it.
_WRITE_BYTES = 256 * 1024
_READ_BYTES = 64 * 1024
_OK = 200


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that its sender is sending to us, with what he says of it."""

    chunks: AsyncIterator[bytes]
    mimetype: str | None
    file_name: str | None


@dataclass(frozen=True, slots=True)
class StagedMedia:
    """A file in the folder; ``file_name`` is its sender's name for it."""

    path: Path
    mimetype: str
    file_name: str | None

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return self.path.name

    async def parts(self, most_bytes: int) -> AsyncIterator[bytes]:
        """Its content, in parts of that size but for the last one."""
        with contextlib.closing(await asyncio.to_thread(self.path.open, "rb", buffering=0)) as file:
            while part := await asyncio.to_thread(file.read, most_bytes):
                yield part

    async def digest(self) -> bytes:
        """SHA-256."""

        def digest() -> bytes:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()

        return await asyncio.to_thread(digest)


class MediaFiles:
    def __init__(self, folder: Path | None, outbound: OutboundClient, most_bytes: int) -> None:
        """``most_bytes`` limits files of every kind; without a folder there are none."""
        self._folder = folder
        self._outbound = outbound
        self._most_bytes = most_bytes
        self._room = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def staged(
        self, kind: MediaKind, source: MediaSource | Upload, *, limit: int | None = None
    ) -> AsyncIterator[StagedMedia]:
        """The file in the folder for as long as the block runs; ``limit`` is of its bytes, beside those of its kind.

        Raises ``MediaTooLarge``, ``MediaTypeRefused``, ``MediaAddressForbidden``, ``MediaUnreachable`` and
        ``InvalidRequest``, the first two before more was read than is needed to say so.
        """
        async with self._room, self._opened(source) as upload:
            path = self._new_path()
            try:
                most = most_bytes(kind, self._most_bytes if limit is None else min(limit, self._most_bytes))
                mimetype = await self._written(path, kind, upload, most)
                yield StagedMedia(path, mimetype, upload.file_name)
            finally:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what a killed process left."""
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink(missing_ok=True)

    def _new_path(self) -> Path:
        if self._folder is None:
            raise SidecarUnavailable("Files can't be sent: MEDIA_DIR is not set.")
        return self._folder / uuid.uuid4().hex

    @asynccontextmanager
    async def _opened(self, source: MediaSource | Upload) -> AsyncIterator[Upload]:
        match source:
            case Upload():
                yield source
            case MediaSource(url=str() as url, data=None):
                async with self._fetched(source, url) as upload:
                    yield upload
            case MediaSource(url=None, data=str() as data):
                yield Upload(_decoded(data), source.mimetype, source.file_name)
            case _:
                raise InvalidRequest(errors=[FieldError("media", "needs url or data, and not both")])

    @asynccontextmanager
    async def _fetched(self, source: MediaSource, url: str) -> AsyncIterator[Upload]:
        outbound = self._outbound
        problem = outbound.rules.url_problem(url)
        if problem is not None and "must not be called" not in problem:
            raise InvalidRequest(errors=[FieldError("media.url", problem)])
        try:
            async with outbound.request("GET", url, total_seconds=_FETCH_SECONDS, redirects=_REDIRECTS) as response:
                if response.status != _OK:
                    raise MediaUnreachable(f"The media's address answered with status {response.status}.")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise MediaUnreachable(
                        "The media's address sends the file compressed, although it was asked not to."
                    )
                declared = source.mimetype or response.headers.get("Content-Type")
                name = source.file_name or _name_in(str(response.url.path))
                yield Upload(response.content.iter_chunked(_READ_BYTES), declared, name)
        except AddressForbidden as error:
            raise MediaAddressForbidden from error
        except MediaUnreachable:
            raise
        except AddressUnreachable as error:
            raise MediaUnreachable(error.message.replace("The address", "The media's address")) from error

    async def _written(self, path: Path, kind: MediaKind, upload: Upload, most: int) -> str:
        """Write the file; its type."""
        written, mimetype, waiting = 0, None, bytearray()
        with contextlib.closing(await asyncio.to_thread(path.open, "xb", buffering=0)) as file:
            async for chunk in upload.chunks:
                waiting += chunk
                if written + len(waiting) > most:
                    raise MediaTooLarge(f"A file of this kind is at most {most} bytes; send a smaller one.")
                if mimetype is None and len(waiting) >= HEAD_BYTES:
                    mimetype = self._type(kind, upload, waiting)
                if len(waiting) >= _WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    written += len(waiting)
                    waiting.clear()
            if not written and not waiting:
                raise InvalidRequest(errors=[FieldError("media", "is an empty file")])
            if mimetype is None:
                mimetype = self._type(kind, upload, waiting)
            await asyncio.to_thread(file.write, bytes(waiting))
        return mimetype

    def _type(self, kind: MediaKind, upload: Upload, head: bytes | bytearray) -> str:
        mimetype = accepted_type(kind, upload.mimetype, upload.file_name, bytes(head[:HEAD_BYTES]))
        if mimetype is None:
            raise MediaTypeRefused(
                f"As {kind} phones show {accepted_types(kind)}; convert the file, or send it as a document."
            )
        return mimetype


async def _decoded(data: str) -> AsyncIterator[bytes]:
    try:
        content = await asyncio.to_thread(base64.b64decode, data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(errors=[FieldError("media.data", "must be base64")]) from error
    for start in range(0, len(content), _WRITE_BYTES):
        yield content[start : start + _WRITE_BYTES]


def _name_in(path: str) -> str | None:
    """The last part of an address, as the name of its file."""
    name = unquote(urlsplit(path).path).rpartition("/")[2]
    return name[:255] if name.isprintable() and name else None
