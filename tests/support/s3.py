"""S3 on the wire, on loopback: objects in memory, uploads in parts, and signatures that are checked by other means than ours.

The check follows Amazon's description anew, from the request as it arrived.
"""

import contextlib
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web

KEY_ID, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "sa-east-1"


@dataclass
class FakeS3:
    """One bucket. ``failing`` answers everything with 500; pages of a listing have ``page`` names."""

    port: int = 0
    bucket: str = "copies"
    page: int = 2
    failing: bool = False
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append(f"{request.method} {request.path_qs.partition('?')[2].partition('=')[0]}")
        if self.failing:
            return web.Response(status=500, text="<Error><Code>InternalError</Code></Error>")
        if not signature_is_right(request, body):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        bucket, _, key = request.path.removeprefix("/").partition("/")
        if bucket != self.bucket:
            return web.Response(status=404, text="<Error><Code>NoSuchBucket</Code></Error>")
        query = dict(request.query)
        if request.method == "GET" and not key:
            return self._list(query)
        if request.method == "GET":
            found = self.objects.get(key)
            return (
                web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
                if found is None
                else web.Response(body=found)
            )
        if request.method == "POST" and "uploads" in query:
            upload = f"upload-{len(self.uploads)}"
            self.uploads[upload] = {}
            return web.Response(
                text=f"<R xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><UploadId>{upload}</UploadId></R>"
            )
        if request.method == "PUT" and "uploadId" in query:
            self.uploads[query["uploadId"]][int(query["partNumber"])] = body
            return web.Response(headers={"ETag": f'"{hashlib.sha256(body).hexdigest()}"'})
        if request.method == "POST" and "uploadId" in query:
            parts = self.uploads.pop(query["uploadId"])
            assert body.count(b"<ETag>") == len(parts)
            self.objects[key] = b"".join(parts[number] for number in sorted(parts))
            return web.Response(text="<CompleteMultipartUploadResult/>")
        if request.method == "PUT":
            self.objects[key] = body
        elif request.method == "DELETE":
            self.uploads.pop(query["uploadId"], None) if "uploadId" in query else self.objects.pop(key, None)
        return web.Response(status=200 if request.method == "PUT" else 204)

    def _list(self, query: dict[str, str]) -> web.Response:
        names = sorted(name for name in self.objects if name.startswith(query.get("prefix", "")))
        start = int(query.get("continuation-token", "0"))
        shown = "".join(f"<Contents><Key>{escape(name)}</Key></Contents>" for name in names[start : start + self.page])
        following = start + self.page
        more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following < len(names) else ""
        return web.Response(
            text=f"<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{shown}{more}</ListBucketResult>"
        )


def signature_is_right(request: web.Request, body: bytes) -> bool:
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        request.headers.get("Authorization", ""),
    )
    if found is None or found[1] != KEY_ID or found[3] != REGION:
        return False
    raw_path, _, raw_query = request.raw_path.partition("?")
    digest = hashlib.sha256(body).hexdigest()
    if request.headers["x-amz-content-sha256"] != digest or not {"host", "x-amz-date"} <= set(found[4].split(";")):
        return False
    assert sorted(parse_qsl(raw_query, keep_blank_values=True)) == sorted(request.query.items())
    canonical_query = "&".join(sorted(part if "=" in part else part + "=" for part in raw_query.split("&") if part))
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in found[4].split(";"))
    canonical = "\n".join((request.method, raw_path, canonical_query, headers, found[4], digest))
    scope = f"{found[2]}/{REGION}/s3/aws4_request"
    to_sign = (
        f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), found[5])


@contextlib.asynccontextmanager
async def fake_s3() -> AsyncIterator[FakeS3]:
    storage = FakeS3()
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", storage.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    storage.port = runner.addresses[0][1]
    try:
        yield storage
    finally:
        await runner.cleanup()
