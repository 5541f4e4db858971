"""As much of S3 as backups need: put (in parts when it is large), get, list and delete, with signatures of version 4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. Addresses are in path style, which
storage of every make understands.
"""

import hashlib
import hmac
import io
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import aiohttp

from orchestrator.config import S3Access
from orchestrator.domain.errors import BackupRefused

#: Bytes of a part; S3 wants at least 5 MiB of all but the last, and at most 10,000 parts: 160 GB.
PART = 16 * 1024**2
_PIECE = 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=120)
_XML_LIMIT = 4 * 1024**2


class S3:
    """One bucket. Every method raises ``BackupRefused`` with what the storage says."""

    def __init__(self, http: aiohttp.ClientSession, access: S3Access, bucket: str) -> None:
        self._http = http
        self._access = access
        self._bucket = bucket

    async def put(self, key: str, pieces: AsyncIterator[bytes]) -> int:
        """Store an object, whole or not at all; its bytes. What was there under this key is replaced."""
        buffer = bytearray()
        upload: str | None = None
        tags: list[str] = []
        size = 0
        try:
            async for piece in pieces:
                buffer += piece
                while len(buffer) > PART:
                    if upload is None:
                        upload = await self._begin(key)
                    tags.append(await self._part(key, upload, len(tags) + 1, bytes(buffer[:PART])))
                    del buffer[:PART]
                    size += PART
            if upload is None:
                await self._call("PUT", key, body=bytes(buffer))
            else:
                tags.append(await self._part(key, upload, len(tags) + 1, bytes(buffer)))
                await self._complete(key, upload, tags)
        except BaseException:
            if upload is not None:
                await self._call("DELETE", key, {"uploadId": upload})
            raise
        return size + len(buffer)

    async def get(self, key: str) -> AsyncIterator[bytes]:
        try:
            async with self._request("GET", key) as response:
                await _require_success(response)
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackupRefused(f"{self._access.endpoint} doesn't answer: {type(error).__name__}.") from error

    async def keys(self, prefix: str) -> list[str]:
        found: list[str] = []
        more = {"list-type": "2", "prefix": prefix}
        while True:
            answer = _xml(await self._call("GET", "", more))
            found += [key.text or "" for key in answer.iterfind(".//{*}Contents/{*}Key")]
            token = answer.findtext("{*}NextContinuationToken")
            if not token:
                return found
            more = more | {"continuation-token": token}

    async def delete(self, key: str) -> None:
        await self._call("DELETE", key)

    async def _begin(self, key: str) -> str:
        upload = _xml(await self._call("POST", key, {"uploads": ""})).findtext("{*}UploadId")
        if not upload:
            raise BackupRefused(f"{self._access.endpoint} begins no upload in parts; is it S3?")
        return upload

    async def _part(self, key: str, upload: str, number: int, content: bytes) -> str:
        async with self._request("PUT", key, {"partNumber": str(number), "uploadId": upload}, content) as response:
            await _require_success(response)
            return response.headers.get("ETag", "")

    async def _complete(self, key: str, upload: str, tags: list[str]) -> None:
        root = ET.Element("CompleteMultipartUpload")
        for number, tag in enumerate(tags, start=1):
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = tag
        answer = await self._call("POST", key, {"uploadId": upload}, ET.tostring(root))
        if (
            b"<Error>" in answer or b"<Error " in answer
        ):  # told with status 200, because the answer began before the work
            raise BackupRefused("The storage could not put the parts together.")

    async def _call(self, method: str, key: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        try:
            async with self._request(method, key, query, body) as response:
                await _require_success(response)
                return await response.content.read(_XML_LIMIT)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackupRefused(f"{self._access.endpoint} doesn't answer: {type(error).__name__}.") from error

    def _request(
        self, method: str, key: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> "aiohttp.client._RequestContextManager":
        path = f"/{self._bucket}/{quote(key, safe='/~')}" if key else f"/{self._bucket}"
        asked = "&".join(f"{quote(n, safe='~')}={quote(v, safe='~')}" for n, v in sorted((query or {}).items()))
        headers = signed_headers(self._access, method, path, asked, hashlib.sha256(body).hexdigest(), datetime.now(UTC))
        from yarl import URL  # noqa: PLC0415 (aiohttp's own; encoded=True keeps what was signed)

        url = URL(f"{self._access.endpoint}{path}{'?' + asked if asked else ''}", encoded=True)
        return self._http.request(
            method,
            url,
            data=io.BytesIO(body) if body else None,
            headers=headers,
            timeout=_TIMEOUT,
            allow_redirects=False,
        )


def signed_headers(
    access: S3Access, method: str, path: str, query: str, body_digest: str, now: datetime
) -> dict[str, str]:
    """The headers of a request that its receiver needs to know whose it is."""
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "host": urlsplit(access.endpoint).netloc,
        "x-amz-content-sha256": body_digest,
        "x-amz-date": moment,
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    request = "\n".join((method, path, query, lines, names, body_digest))
    scope = f"{day}/{access.region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{access.secret_key}".encode()
    for part in (day, access.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


async def _require_success(response: aiohttp.ClientResponse) -> None:
    if response.status < 300:
        return
    answer = await response.content.read(_XML_LIMIT)
    try:
        code = ET.fromstring(answer).findtext("Code") or ""
    except ET.ParseError:
        code = ""
    raise BackupRefused(f"The storage answers {response.status} {code}".rstrip() + ".")


def _xml(answer: bytes) -> ET.Element:
    try:
        return ET.fromstring(answer)
    except ET.ParseError as error:
        raise BackupRefused("The storage gives an answer that isn't S3's.") from error
