"""What schemathesis loads: what we promise beyond the OpenAPI document (see SCHEMATHESIS_HOOKS)."""

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """The admin's own things, most of the time: there is hardly a tenant of a made-up name."""
    if case.headers and "X-Tenant" in case.headers and case.headers["X-Tenant"] != "operator":
        case.headers.pop("X-Tenant")


@schemathesis.check
def bad_input_names_the_field(_context: Any, response: Any, case: Any) -> None:
    if response.status_code == 422 and not case.operation.path.startswith("/api/session/"):
        problem = response.json()
        assert problem["errors"], "a 422 has errors"
        assert all(error["field"] and error["message"] for error in problem["errors"])


@schemathesis.check
def every_answer_names_its_request(_context: Any, response: Any, case: Any) -> None:
    assert response.headers["x-request-id"], f"{case.operation.label} lost the id of the request"
