from collections.abc import Iterator

from orchestrator.domain import errors
from orchestrator.domain.errors import OrchestratorError


def every_error(root: type[OrchestratorError] = OrchestratorError) -> Iterator[type[OrchestratorError]]:
    yield root
    for child in root.__subclasses__():
        yield from every_error(child)


def test_each_error_has_a_code_of_its_own_and_says_what_to_do() -> None:
    kinds = list(every_error())
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind().message == kind.default_message()
        assert len(kind.default_message()) > 20


def test_the_docstring_of_the_module_draws_the_whole_tree() -> None:
    assert errors.__doc__ is not None
    for kind in every_error():
        assert kind.__name__ in errors.__doc__
