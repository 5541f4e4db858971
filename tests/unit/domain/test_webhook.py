"""Signatures as other implementations of Standard Webhooks make and check them, and when a delivery is tried again."""

import base64
from datetime import UTC, datetime, timedelta

from orchestrator.domain.webhook import Secret, headers, new_secret, retry_seconds, signing, wants

NOW = datetime(2022, 11, 9, 15, 5, 20, tzinfo=UTC)


def test_the_example_of_the_specification() -> None:
    signed = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert signed["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert signed["webhook-timestamp"] == "1614265330"
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_secrets_sign_while_one_is_changed() -> None:
    old, new = Secret(new_secret().value, NOW + timedelta(hours=1)), new_secret()
    both = headers("evt_1", NOW, b"{}", signing((new, old), NOW))["webhook-signature"].split(" ")
    assert len(both) == len(set(both)) == 2
    assert headers("evt_1", NOW, b"{}", signing((new, old), NOW + timedelta(hours=1)))["webhook-signature"] == both[0]


def test_a_secret_is_long_enough_and_another_each_time() -> None:
    secrets = {new_secret().value for _ in range(10)}
    assert len(secrets) == 10
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in secrets} == {32}


def test_pauses_grow_to_an_hour_with_jitter() -> None:
    assert [retry_seconds(attempts, 1.0) for attempts in (1, 2, 3, 14, 15, 500)] == [0.25, 0.5, 1, 2048, 3600, 3600]
    assert retry_seconds(4, 0.0) == 1


def test_a_star_stands_for_all_that_can_be_asked_for() -> None:
    assert wants(["*"], "message.status")
    assert not wants(["*"], "session.qr")
    assert wants(["session.alert"], "session.alert")
    assert not wants(["session.alert"], "session.state")
