"""Request bodies: JSON into typed values, and what is wrong with them in words."""

import re
from typing import TypeVar

import msgspec
from aiohttp import web

from orchestrator.domain.errors import FieldError, InvalidRequest, MalformedJson

T = TypeVar("T", bound=msgspec.Struct)

# msgspec's messages, such as "Expected `str`, got `int` - at `$.text`" and "Object missing required field `text`".
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"(missing required|contains unknown) field `(.*?)`")


async def read_json(request: web.Request, type_: type[T]) -> T:
    """The body as ``type_``; ``MalformedJson``, or ``InvalidRequest`` with the field. An empty body is an empty object."""
    try:
        body = await request.read()
    except web.RequestPayloadError as error:
        raise MalformedJson("The body can't be read: its transfer or content encoding is broken.") from error
    try:
        return msgspec.json.decode(body or b"{}", type=type_)
    except msgspec.ValidationError as error:
        raise InvalidRequest(errors=[_field_error(str(error))]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedJson from error


def json_response(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _field_error(text: str) -> FieldError:
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    message = _PATH.sub("", text)
    named = _NAMED.search(message)
    if named:
        field = f"{field}.{named.group(2)}".lstrip(".")
        message = "is required" if named.group(1).startswith("missing") else "is not a field of this request"
    return FieldError(field=field or "(body)", message=message)
