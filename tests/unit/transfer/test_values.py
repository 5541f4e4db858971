import base64

import msgspec
import pytest

from orchestrator.transfer.values import baileys_json

DATA = bytes(range(0, 256, 5))
BASE64 = {"type": "Buffer", "data": base64.b64encode(DATA).decode()}


@pytest.mark.parametrize(
    "notation",
    [BASE64, {"type": "Buffer", "data": list(DATA)}, {str(number): byte for number, byte in enumerate(DATA)}],
    ids=["BufferJSON", "Buffer", "Uint8Array"],
)
def test_every_notation_for_bytes_becomes_baileys_own(notation: object) -> None:
    text = msgspec.json.encode({"a": [notation], "b": {"public": notation}})
    assert msgspec.json.decode(baileys_json("x", text)) == {"a": [BASE64], "b": {"public": BASE64}}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1.50,  "b":"ç\\u00e7"}',
        '{"0":true,"1":false}',
        '{"1":5}',
        '{"0":256}',
        '{"0":"a"}',
        '{"type":"Buffer","data":""}',
        '"text"',
        "[]",
        "{}",
        "12345678901234567890",
    ],
)
def test_a_value_without_other_bytes_stays_as_it_is_written(text: str) -> None:
    assert baileys_json("x", text.encode()) == text.encode()
