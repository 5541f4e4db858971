"""PIX codes as banks give them out."""

from orchestrator.domain.pix_code import checksum


def pix_code(amount: str = "150.00", key: str = "maria@example.com") -> str:
    """A static code (Banco Central do Brasil, Manual de Padrões para Iniciação do Pix)."""
    account = _field("00", "br.gov.bcb.pix") + _field("01", key)
    fields = [("00", "01"), ("26", account), ("52", "0000"), ("53", "986"), ("54", amount), ("58", "BR")]
    fields += [("59", "Loja"), ("60", "Sao Paulo"), ("62", _field("05", "***"))]
    body = "".join(_field(name, value) for name, value in fields) + "6304"
    return body + checksum(body)


def _field(name: str, value: str) -> str:
    return f"{name}{len(value):02d}{value}"
