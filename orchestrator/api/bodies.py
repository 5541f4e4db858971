"""Requests and answers: JSON and queries into typed values, what is wrong with them in words, and values into JSON."""

import re
from typing import Any, TypeVar, overload

import msgspec
from aiohttp import web

from orchestrator.api.operations import ROUTES, operation_of
from orchestrator.domain.errors import FieldError, InvalidRequest, MalformedJson

T = TypeVar("T", bound=msgspec.Struct)

# msgspec's messages, such as "Expected `str`, got `int` - at `$.text`" and "Object missing required field `text`".
_PATH = re.compile(r" - at `\$\.?(.*)`$")
# The escape of NUL after an even number of backslashes. Unescaped it is no JSON.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
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
    return from_json(body or b"{}", type_, nul=_may_hold_nul(request))


def from_json(body: bytes, type_: Any, *, nul: bool = False) -> Any:
    """JSON as ``type_``, a struct or a tagged union; ``MalformedJson``, or ``InvalidRequest`` with the field."""
    if not nul and _NUL.search(body):
        raise InvalidRequest(errors=[FieldError(_field_with_nul(body), "must not contain the character NUL")])
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise InvalidRequest(errors=[_field_error(str(error))]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedJson from error


def read_query(request: web.Request, type_: type[T]) -> T:
    """The query as ``type_``; ``InvalidRequest`` with the parameter. Numbers and booleans are read from their text."""
    for name, value in request.query.items():
        if "\x00" in value and not name.endswith("_id"):  # an id that can't be is one that isn't there
            raise InvalidRequest(errors=[FieldError(name, "must not contain the character NUL")])
    try:
        return msgspec.convert(dict(request.query), type_, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(errors=[_field_error(str(error))]) from error


def json_response(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _may_hold_nul(request: web.Request) -> bool:
    """The sidecar's texts may; those of the public API end up in PostgreSQL's, which can't."""
    operation = operation_of(request) if ROUTES in request.app else None
    return operation is None or operation.nul


def _field_with_nul(body: bytes) -> str:
    try:
        return _path_of_nul(msgspec.json.decode(body)) or "(body)"
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedJson from error


def _path_of_nul(value: object, path: str = "") -> str | None:
    match value:
        case str():
            return path if "\x00" in value else None
        case list():
            below = ((f"{path}[{number}]", item) for number, item in enumerate(value))
        case dict():
            if any("\x00" in name for name in value):
                return path
            below = ((f"{path}.{name}".lstrip("."), item) for name, item in value.items())
        case _:
            return None
    return next((found for where, item in below if (found := _path_of_nul(item, where)) is not None), None)


def _field_error(text: str) -> FieldError:
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    message = _PATH.sub("", text)
    named = _NAMED.search(message)
    if named:
        field = f"{field}.{named.group(2)}".lstrip(".")
        message = "is required" if named.group(1).startswith("missing") else "is not a field of this request"
    return FieldError(field=field or "(body)", message=message)
