"""Whom a message goes to: a phone number or a jid."""

import re

#: E.164 allows 15 digits; the shortest national numbers with a country code have 7.
_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")
_JID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?@(s\.whatsapp\.net|lid|g\.us)|[0-9]{5,30}@newsletter")


def recipient_jid(to: str) -> str | None:
    """The jid for a number (digits with country code, an optional plus sign) or a jid; None if it is neither."""
    phone = phone_digits(to)
    if phone is not None:
        return f"{phone}@s.whatsapp.net"
    return to if _JID.fullmatch(to) else None


def is_channel(jid: str) -> bool:
    return jid.endswith("@newsletter")


def phone_digits(phone: str) -> str | None:
    """The digits of a phone number with country code; None if it isn't one."""
    match = _PHONE.fullmatch(phone)
    return match.group(1) if match else None
