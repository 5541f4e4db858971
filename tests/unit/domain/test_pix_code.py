import pytest

from orchestrator.domain.pix_code import checksum, problem_of
from tests.support.pix import pix_code

#: The example of the Central Bank's manual (Manual de Padrões para Iniciação do Pix, section 1.6.1).
MANUAL = (
    "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR5913Fulano de Tal"
    "6008BRASILIA62070503***63041D3D"
)


def test_the_checksum_is_that_of_the_specification() -> None:
    assert checksum("123456789") == "29B1"  # the check value of CRC-16/CCITT-FALSE
    assert MANUAL.endswith(checksum(MANUAL[:-4]))


@pytest.mark.parametrize("code", [MANUAL, MANUAL[:-4] + "1d3d", pix_code(), pix_code("0.01", "+5511988887777")])
def test_what_a_bank_gives_out_is_taken(code: str) -> None:
    assert problem_of(code) is None


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("", "whole PIX"),
        ("hello", "whole PIX"),
        ("11988887777", "whole PIX"),
        (MANUAL[:-1], "whole PIX"),
        (MANUAL[:-8], "whole PIX"),
        (MANUAL.replace("Fulano", "Fulana"), "checksum"),
        (MANUAL[:-4] + "0000", "checksum"),
        ("0002015913Fulano de Tal6304", "whole PIX"),
        ("000201" + "5913Fulano de Tal" + "6304" + checksum("0002015913Fulano de Tal6304"), "br.gov.bcb.pix"),
        ("00020１", "whole PIX"),
    ],
)
def test_what_is_wrong_is_said(code: str, problem: str) -> None:
    found = problem_of(code)
    assert found is not None
    assert problem in found
