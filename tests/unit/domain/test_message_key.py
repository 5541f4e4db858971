"""The keys that the sidecar makes too: baileys-server/test/messages.test.js has the same example."""

from orchestrator.domain.message_key import CHAT_LENGTH, CHAT_POSITION, chat_key, id_key, message_key


def test_a_key_is_found_by_its_id_and_by_its_chat() -> None:
    key = message_key("3EB0AA", "120363000000000000@g.us", "5511988887777@s.whatsapp.net")
    assert key == "e9994ac2e7e9e862f75b78fb121a9557d38e5e879659fba3dc607f3e47cd7bb0"
    assert key.startswith(id_key("3EB0AA"))
    assert key[CHAT_POSITION - 1 :][:CHAT_LENGTH] == chat_key("120363000000000000@g.us")
