"""Requests and answers: JSON and queries into typed values, what is wrong with them in words, and values into JSON."""

import re
from typing import Any, TypeVar, overload

import msgspec
from aiohttp import web

from orchestrator.domain.errors import FieldError, InvalidRequest, MalformedJson

T = TypeVar("T", bound=msgspec.Struct)

# msgspec's messages, such as "Expected `str`, got `int` - at `$.text`" and "Object missing required field `text`".
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"(missing required|contains unknown) field `(.*?)`")


@overload
async def read_json(request: web.Request, type_: type[T]) -> T: ...
@overload
async def read_json(request: web.Request, type_: object) -> Any: ...
async def read_json(request: web.Request, type_: Any) -> Any:
    """The body as ``type_``, a struct or a tagged union; ``MalformedJson``, or ``InvalidRequest`` with the field.

    An empty body is an empty object.
    """
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


def read_query(request: web.Request, type_: type[T]) -> T:
    """The query as ``type_``; ``InvalidRequest`` with the parameter. Numbers and booleans are read from their text."""
    try:
        return msgspec.convert(dict(request.query), type_, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(errors=[_field_error(str(error))]) from error


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
