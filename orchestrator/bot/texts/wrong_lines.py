"""What is wrong with a CSV file of customers, as the bot and the dashboard say it."""

import re

from orchestrator.bot.texts.catalogue import Texts
from orchestrator.domain.errors import FieldError

_LINE = re.compile(r"lines\[([0-9]+)\](?:\.(\w+))?")


def told(texts: Texts, error: FieldError) -> str:
    """Plain text, in the person's language where we know it."""
    found = _LINE.fullmatch(error.field)
    if found is None:
        return texts.contacts_in_file_wrong.format(message=error.message)
    known = texts.contact_wrong.get(found[2] or "")
    message = error.message if known is None or "already" in error.message else known
    return texts.contacts_in_line.format(line=found[1], message=message)
