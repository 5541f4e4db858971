from typing import Any

import pytest

from orchestrator.domain.directory import merged, sort_at


@pytest.mark.parametrize(
    ("known", "change", "expected"),
    [
        ({}, {"name": "Ana"}, {"name": "Ana"}),
        ({"name": "Ana", "archived": True}, {"name": "Bia"}, {"name": "Bia", "archived": True}),
        ({"name": "Ana", "lid": "1@lid"}, {"name": None}, {"lid": "1@lid"}),
        ({}, {"unread_added": 2}, {"unread_count": 2}),
        ({"unread_count": 3}, {"unread_added": 2}, {"unread_count": 5}),
        ({"unread_count": 3}, {"unread_count": 0, "unread_added": 1}, {"unread_count": 1}),
        ({"labels": ["1", "2"]}, {"labels": {"2": False, "3": True}}, {"labels": ["1", "3"]}),
    ],
)
def test_what_is_told_is_put_to_what_is_known(
    known: dict[str, Any], change: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merged(known, change) == expected


def test_a_chat_is_sorted_by_its_newest_message() -> None:
    assert sort_at({"last_message": {"id": "x", "timestamp": 1_766_000_000}}) == 1_766_000_000_000
    assert sort_at({"name": "Ana"}) == 0
