import re

import msgspec
import pytest

from orchestrator.api.openapi import PROBLEM_JSON, openapi
from orchestrator.api.operations import PATH_PARAMETERS
from orchestrator.api.public import OPERATIONS


def test_names_and_addresses_are_unique() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)


def test_each_operation_says_what_it_does_with_an_example_of_its_own_shape(subtests: pytest.Subtests) -> None:
    for operation in OPERATIONS:
        with subtests.test(operation=operation.name):
            assert operation.summary.endswith((".", "?"))
            assert set(re.findall(r"\{(\w+)\}", operation.path)) <= set(PATH_PARAMETERS)
            for shape, example in ((operation.takes, operation.example), (operation.gives, operation.example_answer)):
                assert (shape is None) == (example is None)
                if shape is not None:
                    msgspec.json.decode(msgspec.json.encode(example), type=shape)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = openapi(OPERATIONS)
    references = set(re.findall(rb'"\$ref":"#/components/(\w+)/(\w+)"', msgspec.json.encode(document)))
    for kind, name in references:
        assert name.decode() in document["components"][kind.decode()]
    assert (b"responses", b"Problem") in references
    assert PROBLEM_JSON in document["components"]["responses"]["Problem"]["content"]


def test_an_answer_lists_the_codes_that_it_can_have() -> None:
    send = openapi(OPERATIONS)["paths"]["/v1/sessions/{session_id}/messages"]["post"]["responses"]
    assert "`session_not_open`" in send["409"]["description"]
    assert "`send_unconfirmed`" in send["504"]["description"]
    assert "`session_not_found`" in send["404"]["description"]
    assert "`invalid_request`" in send["422"]["description"]
