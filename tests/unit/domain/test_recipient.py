import pytest

from orchestrator.domain.recipient import phone_digits, recipient_jid


@pytest.mark.parametrize(
    ("to", "jid"),
    [
        ("5511988887777", "5511988887777@s.whatsapp.net"),
        ("+5511988887777", "5511988887777@s.whatsapp.net"),
        ("5511988887777@s.whatsapp.net", "5511988887777@s.whatsapp.net"),
        ("100000000000002@lid", "100000000000002@lid"),
        ("120363000000000000@g.us", "120363000000000000@g.us"),
        ("5511999990000-1600000000@g.us", "5511999990000-1600000000@g.us"),
        ("120363101234567890@newsletter", "120363101234567890@newsletter"),
        ("120363101234567890-1600000000@newsletter", None),
        ("", None),
        ("5511988887777:7@s.whatsapp.net", None),
        ("abc", None),
        ("0511988887777", None),
        ("123456", None),
        ("1234567890123456", None),
        ("55 11 98888-7777", None),
        ("5511988887777@example.com", None),
        ("5511988887777@s.whatsapp.net\n", None),
        ("١٢٣٤٥٦٧٨", None),
    ],
)
def test_a_recipient_is_a_number_or_a_jid(to: str, jid: str | None) -> None:
    assert recipient_jid(to) == jid


def test_a_phone_number_is_digits_with_an_optional_plus() -> None:
    assert phone_digits("+5511999990000") == "5511999990000"
    assert phone_digits("5511999990000@s.whatsapp.net") is None
