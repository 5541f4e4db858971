"""The documentation of the public API, written from the operations themselves: OpenAPI 3.1, and a page that shows it."""

import base64
import hashlib
import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from orchestrator.api.admission import TENANT_HEADER
from orchestrator.api.operations import DOCUMENTED, FORM, JSON, PATH_PARAMETERS, Operation
from orchestrator.api.problems import status_of
from orchestrator.api.request_ids import HEADER
from orchestrator.domain.errors import (
    BodyTooLarge,
    DatabaseUnavailable,
    InvalidRequest,
    MalformedJson,
    NotFound,
    OrchestratorError,
    RateLimited,
    ReplicaUnreachable,
    ScopeMissing,
    SessionNotFound,
    TenantBlocked,
    TenantNotFound,
    TokenExpired,
    Unauthorized,
)
from orchestrator.wire.problem import Problem

PROBLEM_JSON = "application/problem+json"

_REF = "#/components/schemas/{name}"
_BRACES = re.compile(r"\{(\w+)\}")
_INLINE = re.compile(rb"<(style|script)>(.*?)</\1>", re.DOTALL)

Json = dict[str, Any]


async def document(request: web.Request) -> web.Response:
    return web.Response(
        body=_encoded(request.app[DOCUMENTED]), content_type=JSON, headers={"Access-Control-Allow-Origin": "*"}
    )


async def page(_request: web.Request) -> web.Response:
    body, policy = _page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


@cache
def _encoded(operations: tuple[Operation, ...]) -> bytes:
    return msgspec.json.encode(openapi(operations))


@cache
def _page() -> tuple[bytes, str]:
    """The page, and a policy under which a browser runs nothing but what is in it and fetches nothing from elsewhere."""
    body = Path(__file__).with_name("docs.html").read_bytes()
    allowed = {
        kind.decode(): f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
        for kind, text in _INLINE.findall(body)
    }
    policy = (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return body, policy


def openapi(operations: tuple[Operation, ...]) -> Json:
    """The document (https://spec.openapis.org/oas/v3.1.1)."""
    shapes = _Shapes(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Baileys Orchestrator",
            "version": "1",
            "description": "Links WhatsApp accounts once and keeps them linked. Errors are problem documents (RFC 9457): decide "
            "by `code`, `detail` says what to do.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": shapes.components,
            "responses": {
                "Problem": {
                    "description": "What went wrong and what to do.",
                    "headers": {
                        HEADER: {"description": "Names the request.", "required": True, "schema": {"type": "string"}},
                        "Retry-After": {
                            "description": "With 429 and 503: seconds to wait.",
                            "schema": {"type": "string", "pattern": "^[0-9]+$"},
                        },
                    },
                    "content": {PROBLEM_JSON: {"schema": shapes.of(Problem)}},
                }
            },
            "parameters": {
                "Tenant": {
                    "name": TENANT_HEADER,
                    "in": "header",
                    "description": "For the admin token: the tenant whose things this is about, if not the operator's own. "
                    "A tenant's token may name its own tenant only.",
                    "schema": {"type": "string", "examples": ["acme"]},
                }
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "old_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


class _Shapes:
    """The JSON schemas of everything that operations take and give."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        taken = [operation.query for operation in operations] + [operation.headers for operation in operations]
        self._parameters = [shape for shape in dict.fromkeys(taken) if shape is not None]
        bodies = [shape for o in operations for shape in (o.takes, o.gives, o.failure) if shape is not None]
        types = list(dict.fromkeys([*bodies, *self._parameters, Problem, *PATH_PARAMETERS.values()]))
        schemas, self.components = msgspec.json.schema_components(types, ref_template=_REF)
        self._schemas = dict(zip(types, map(_tidied, schemas), strict=True))
        self.components = _tidied(self.components)
        self._lists = {shape: self.components.pop(_name(self._schemas[shape])) for shape in self._parameters}

    def of(self, shape: object) -> Json:
        schema: Json = self._schemas[shape]
        return schema

    def parameters(self, shape: type[msgspec.Struct] | None, place: str) -> list[Json]:
        """One parameter for each field of a struct."""
        if shape is None:
            return []
        required = self._lists[shape].get("required", ())
        return [
            _parameter(name, place, schema, required=name in required)
            for name, schema in self._lists[shape]["properties"].items()
        ]


def _described(operation: Operation, shapes: _Shapes) -> Json:
    in_path = _BRACES.findall(operation.path)
    described: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [
            *(_parameter(name, "path", shapes.of(PATH_PARAMETERS[name]), required=True) for name in in_path),
            *shapes.parameters(operation.query, "query"),
            *shapes.parameters(operation.headers, "header"),
            *({"$ref": f"#/components/parameters/{name}"} for name in ("Tenant",) if operation.scope is not None),
        ],
        "responses": _answers(operation, shapes),
    }
    if operation.details:
        described["description"] = operation.details
    if operation.scope is None:
        described["security"] = []
    else:
        described["x-scope"] = operation.scope
        if operation.failure is not None:
            described["security"] = [{"token": []}, {"old_key": []}]
    if operation.takes is not None:
        content: Json = {"schema": shapes.of(operation.takes)}
        if operation.example is not None:
            content["example"] = _builtins(operation.example)
        described["requestBody"] = {
            "required": any(schema["required"] for schema in _structs(operation.takes, shapes)),
            "content": {kind: _form(content) if kind == FORM else content for kind in operation.body_types},
        }
    elif operation.example_text is not None:
        text: Json = {"schema": {"type": "string"}, "example": operation.example_text}
        described["requestBody"] = {"required": True, "content": dict.fromkeys(operation.body_types, text)}
    return described


def _form(content: Json) -> Json:
    """A form whose first part is the body in JSON, and whose second is a file."""
    return {
        "schema": {
            "type": "object",
            "properties": {"message": content["schema"], "file": {"type": "string", "format": "binary"}},
            "required": ["message", "file"],
        },
        "encoding": {"message": {"contentType": JSON}},
    }


def _answers(operation: Operation, shapes: _Shapes) -> Json:
    content: Json = {}
    if operation.gives is not None:
        content[JSON] = {"schema": shapes.of(operation.gives)}
        if operation.example_answer is not None:
            content[JSON]["example"] = _builtins(operation.example_answer)
    for kind in operation.answer_types:
        content[kind] = {"schema": {"type": "object" if kind == JSON else "string"}}
    answers: Json = {
        str(status): {"description": "Done." if content else "Done; the answer is empty."}
        | ({"content": content} if content else {})
        for status in (operation.status, *operation.also)
    }
    by_status: dict[int, list[type[OrchestratorError]]] = {}
    for error in errors_of(operation):
        by_status.setdefault(status_of(error).value, []).append(error)
    for status, errors in sorted(by_status.items()):
        description = "\n\n".join(f"`{error.code}`: {error.default_message()}" for error in errors)
        if operation.failure is None:
            answers[str(status)] = {"$ref": "#/components/responses/Problem", "description": description}
        else:
            content = {JSON: {"schema": shapes.of(operation.failure)}}
            answers[str(status)] = {"description": description, "content": content}
    return answers


def errors_of(operation: Operation) -> list[type[OrchestratorError]]:
    """Everything that an operation can answer beside success: what is its own, and what its shape brings with it."""
    errors: list[type[OrchestratorError]] = [OrchestratorError]
    if operation.scope is not None:
        errors += [
            Unauthorized,
            TokenExpired,
            ScopeMissing,
            TenantBlocked,
            TenantNotFound,
            RateLimited,
            DatabaseUnavailable,
        ]
    if operation.takes is not None:
        errors += [MalformedJson, InvalidRequest, BodyTooLarge]
    if operation.query is not None or operation.headers is not None:
        errors.append(InvalidRequest)
    if "{" in operation.path:
        errors.append(NotFound)
    if operation.concerns_session:
        errors.append(SessionNotFound)
        if not operation.anywhere:
            errors.append(ReplicaUnreachable)
    return list(dict.fromkeys([*errors, *operation.errors]))


def _parameter(name: str, place: str, schema: Mapping[str, Any], *, required: bool) -> Json:
    schema = dict(schema)
    description = schema.pop("description", None)
    parameter: Json = {"name": name, "in": place, "required": required, "schema": schema}
    if description:
        parameter["description"] = description
    return parameter


def _structs(shape: object, shapes: _Shapes) -> Iterable[Json]:
    """The schemas of a struct, or of all structs of a union."""
    schema = shapes.of(shape)
    return [shapes.components[_name(one)] for one in schema.get("anyOf", [schema])]


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _tidied(schema: Any) -> Any:
    """Docstrings as prose."""
    match schema:
        case dict():
            return {
                key: inspect.cleandoc(value).replace("``", "`")
                if key == "description" and isinstance(value, str)
                else _tidied(value)
                for key, value in schema.items()
            }
        case list() | tuple():
            return [_tidied(item) for item in schema]
        case _:
            return schema


def _builtins(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


OPERATIONS = (
    Operation(
        method="GET",
        path="/openapi.json",
        handler=document,
        scope=None,
        tag="Documentation",
        summary="Give this document.",
        answer_types=(JSON,),
    ),
    Operation(
        method="GET",
        path="/docs",
        handler=page,
        scope=None,
        tag="Documentation",
        summary="Show this document to people.",
        answer_types=("text/html",),
    ),
)
