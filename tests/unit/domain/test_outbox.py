import re
from datetime import UTC, datetime

from orchestrator.domain.outbox import Bulk, MessageState, new_message_id, retry_seconds

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def test_ids_look_like_those_of_baileys() -> None:
    ids = {new_message_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("3EB0[0-9A-F]{18}", each) for each in ids)


def test_pauses_grow_to_five_minutes_with_jitter() -> None:
    assert [retry_seconds(attempts, 1.0) for attempts in (0, 1, 2, 3, 8, 9, 100)] == [2, 2, 4, 8, 256, 300, 300]
    assert retry_seconds(3, 0.0) == 4


def test_a_bulk_is_done_when_nothing_of_it_waits() -> None:
    assert Bulk("b", 2, NOON, None, {MessageState.SENT: 1, MessageState.FAILED: 1}).done
    assert not Bulk("b", 2, NOON, None, {MessageState.SENT: 1, MessageState.SENDING: 1}).done
