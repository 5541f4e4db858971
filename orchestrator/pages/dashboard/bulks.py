"""One message to many: sent at the session's pace, and how far it is."""

import secrets

from orchestrator.domain.errors import FieldError, InvalidRequest
from orchestrator.domain.pacing import PacedMessages
from orchestrator.domain.reminder import phone_number
from orchestrator.pages.dashboard.showing import path
from orchestrator.pages.dashboard.visits import Done, Page, Visit
from orchestrator.wire import outbox as wire

_MOST_RECIPIENTS = 1000


async def shown(visit: Visit) -> Page:
    values = {
        "session_id": visit.named("session_id"),
        "pacing": await visit.own.outbox.pacing(visit.named("session_id")),
        "paced": list(PacedMessages),
        # Of this page as it is shown: its form, posted twice, is one bulk.
        "key": secrets.token_hex(16),
    }
    return Page(template="bulks.html", title=visit.texts.bulks, area="outbox", values=values)


async def create(visit: Visit) -> Done:
    text, key = "\n".join(visit.typed("text").splitlines()), visit.typed("key")
    if not text:
        raise InvalidRequest(errors=[FieldError("bulk_text", "is required")])
    bulk = wire.SendBulk(template={"type": "text", "text": text}, messages=_recipients(visit.typed("recipients")))
    made = await visit.own.outbox.send_bulk(visit.named("session_id"), bulk, key or secrets.token_hex(16))
    session = path("tenants", visit.tenant_id, "sessions", visit.named("session_id"))
    return Done(note="created", to=f"{session}{path('bulks', made.bulk_id)}")


async def change_pace(visit: Visit) -> Done:
    applies_to, begins, ends = visit.typed("applies_to"), visit.typed("begins"), visit.typed("ends")
    if applies_to not in set(PacedMessages):
        raise InvalidRequest(errors=[FieldError("applies_to", f"must be out of {', '.join(PacedMessages)}")])
    warm_up = None
    if visit.typed("first_day"):
        warm_up = wire.WarmUp(
            first_day=_whole(visit, "first_day", 1, 100_000),
            growth=_number(visit, "growth", 1, 10),
            days=_whole(visit, "days", 1, 90),
        )
    pacing = wire.Pacing(
        applies_to=PacedMessages(applies_to),
        messages_per_minute=_number(visit, "pace", 0.1, 600),
        jitter=_number(visit, "jitter", 0, 1),
        time_zone=visit.typed("time_zone"),
        quiet_hours=wire.QuietHours(begins, ends) if begins or ends else None,
        warm_up=warm_up,
    )
    await visit.own.outbox.set_pacing(visit.named("session_id"), pacing)
    return Done(note="saved")


async def progress(visit: Visit) -> Page:
    session_id = visit.named("session_id")
    bulk = await visit.own.outbox.bulk(session_id, visit.named("bulk_id"))
    values = {
        "session_id": session_id,
        "bulk": bulk,
        "counts": [
            ("queued", bulk.queued, "busy"),
            ("sending", bulk.sending, "busy"),
            ("sent", bulk.sent, "good"),
            ("delivered", bulk.delivered, "good"),
            ("read", bulk.read, "good"),
            ("failed", bulk.failed, "bad"),
            ("cancelled", bulk.cancelled, "off"),
        ],
    }
    return Page(template="bulk.html", title=visit.texts.bulk, area="outbox", values=values, looks_seconds=2.0)


async def cancel(visit: Visit) -> Done:
    await visit.own.outbox.cancel_bulk(visit.named("session_id"), visit.named("bulk_id"))
    return Done(note="cancelled")


def _recipients(typed: str) -> list[wire.BulkRecipient]:
    """A phone number in each line, and if there is one a name after a comma or a semicolon."""
    recipients = []
    for line in filter(str.strip, typed.splitlines()):
        number, _, name = line.replace(";", ",", 1).partition(",")
        phone = phone_number(number.strip())
        if phone is None:
            raise InvalidRequest(errors=[FieldError("recipients", "must be phone numbers")])
        recipients.append(wire.BulkRecipient(phone, {"name": name.strip()} if name.strip() else {}))
    if not 1 <= len(recipients) <= _MOST_RECIPIENTS:
        raise InvalidRequest(errors=[FieldError("recipients", f"must be 1 to {_MOST_RECIPIENTS}")])
    return recipients


def _number(visit: Visit, name: str, least: float, most: float) -> float:
    """As it was typed, with a comma or a point."""
    try:
        number = float(visit.typed(name).replace(",", "."))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise InvalidRequest(errors=[FieldError(name, f"must be from {least} to {most}")])
    return number


def _whole(visit: Visit, name: str, least: int, most: int) -> int:
    number = _number(visit, name, least, most)
    if number != int(number):
        raise InvalidRequest(errors=[FieldError(name, "must be a whole number")])
    return int(number)
