"""vCards out of typed fields: nothing in a field can become a line of its own."""

from orchestrator.domain.vcard import CardPhone, vcard


def test_a_card_with_everything() -> None:
    card = vcard(
        "Ana Souza",
        [CardPhone("+55 11 98888-7777"), CardPhone("+55 11 3333-4444", "Loja")],
        emails=["ana@example.org"],
        organization="Loja",
        title="Gerente",
        url="https://example.org",
    )
    assert card.split("\n") == [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "N:;Ana Souza;;;",
        "FN:Ana Souza",
        "ORG:Loja",
        "TITLE:Gerente",
        "item1.TEL;waid=5511988887777:+55 11 98888-7777",
        "item1.X-ABLabel:Mobile",
        "item2.TEL;waid=551133334444:+55 11 3333-4444",
        "item2.X-ABLabel:Loja",
        "EMAIL;type=INTERNET:ana@example.org",
        "URL:https://example.org",
        "END:VCARD",
    ]


def test_what_would_end_a_line_or_a_field_is_escaped() -> None:
    card = vcard("A\r\nEND:VCARD\u2028x;y,z\\", [CardPhone("1\n2", "a;b")])
    assert "FN:A END:VCARD x\\;y\\,z\\\\" in card.split("\n")
    assert card.count("\nEND:VCARD") == 1
    assert "item1.TEL;waid=12:1 2" in card
    assert "item1.X-ABLabel:a\\;b" in card
