from orchestrator.bot.memory import Chat

HELP, HOME = ["help"], ["home"]


def test_a_button_does_what_it_did_when_it_was_shown() -> None:
    chat = Chat(1)
    first = chat.serial_for(None, [HELP, HOME])
    chat.add_keyboard(first, 10, [HELP, HOME])
    second = chat.serial_for(10, [HOME])
    chat.add_keyboard(second, 10, [HOME])
    assert chat.action(second, 0) == HOME
    assert chat.action(first, 0) is None
    assert chat.action(second, 1) is None


def test_a_message_that_is_drawn_again_keeps_its_buttons() -> None:
    chat = Chat(1)
    serial = chat.serial_for(None, [HELP])
    chat.add_keyboard(serial, 10, [HELP])
    assert chat.serial_for(10, [HELP]) == serial


def test_only_buttons_of_the_last_messages_are_kept() -> None:
    chat, serial = Chat(1), 0
    for message_id in range(40):
        serial = chat.serial_for(None, [HELP])
        chat.add_keyboard(serial, message_id, [HELP])
    assert chat.action(1, 0) is None
    assert chat.action(serial, 0) == HELP
    assert len(chat.keyboards) == 30
