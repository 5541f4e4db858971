import pytest

from orchestrator.domain.template import UnknownVariable, filled


def test_places_are_filled_in_every_text() -> None:
    template = {"type": "text", "text": "Olá, {{name}}! {{ name }} {{n}}", "mentions": ["{{jid}}", 7], "flag": True}
    assert filled(template, {"name": "Ana", "n": 3, "jid": "x"}) == {
        "type": "text",
        "text": "Olá, Ana! Ana 3",
        "mentions": ["x", 7],
        "flag": True,
    }


def test_a_value_is_no_template() -> None:
    assert filled("{{a}}", {"a": "{{b}}"}) == "{{b}}"


def test_what_is_no_place_stays() -> None:
    assert filled("{{}} {{1}} {a} {{ a b }}", {"a": "x"}) == "{{}} {{1}} {a} {{ a b }}"


def test_a_place_without_a_value_is_named() -> None:
    with pytest.raises(UnknownVariable) as raised:
        filled(["{{a}} {{b}}"], {"a": 1})
    assert raised.value.args == ("b",)
