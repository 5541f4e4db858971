import hashlib
import hmac

import pytest

from orchestrator.payments.signature import is_signed

SECRET = "a secret of the panel"
SECONDS, MILLISECONDS = "1764205200", "1764205200123"


def header(manifest: str, ts: str = SECONDS, secret: str = SECRET) -> str:
    return f"ts={ts},v1={hmac.new(secret.encode(), manifest.encode(), hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize(
    ("signature", "request_id", "data_id"),
    [
        (header(f"id:123;request-id:r-1;ts:{SECONDS};"), "r-1", "123"),
        (header(f"id:123;request-id:r-1;ts:{MILLISECONDS};", MILLISECONDS), "r-1", "123"),
        (header(f"id:123;ts:{SECONDS};"), None, "123"),
        (header(f"request-id:r-1;ts:{SECONDS};"), "r-1", None),
        # Ids with letters: as they are, and in lower case.
        (header(f"id:2C93ab;request-id:r-1;ts:{SECONDS};"), "r-1", "2C93ab"),
        (header(f"id:2c93ab;request-id:r-1;ts:{SECONDS};"), "r-1", "2C93ab"),
    ],
)
def test_what_mercadopago_signed_is_believed(signature: str, request_id: str | None, data_id: str | None) -> None:
    assert is_signed(SECRET, signature, request_id, data_id)


@pytest.mark.parametrize(
    ("signature", "request_id", "data_id"),
    [
        (None, "r-1", "123"),
        ("", "r-1", "123"),
        ("ts=,v1=", "r-1", "123"),
        ("garbage", "r-1", "123"),
        (header(f"id:123;request-id:r-1;ts:{SECONDS};", secret="another"), "r-1", "123"),
        (header(f"id:124;request-id:r-1;ts:{SECONDS};"), "r-1", "123"),
        (header(f"id:123;request-id:r-2;ts:{SECONDS};"), "r-1", "123"),
        (header("id:123;request-id:r-1;ts:1;"), "r-1", "123"),
        (header(f"id:123;request-id:r-1;ts:{SECONDS}"), "r-1", "123"),
        (header("id:123;request-id:r-1;ts:²;", "²"), "r-1", "123"),
        (f"ts={SECONDS},v1={'é' * 64}", "r-1", "123"),
        (header(f"id:123;request-id:r-1;ts:{SECONDS};"), "r\udc80", "123"),
    ],
)
def test_what_it_did_not_sign_is_not(signature: str | None, request_id: str | None, data_id: str | None) -> None:
    assert not is_signed(SECRET, signature, request_id, data_id)
