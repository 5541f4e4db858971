"""Whether a notification is MercadoPago's.

Its age says nothing: a notification that couldn't be delivered comes again for days, and a replayed one only makes us read
the payment once more. So the validator is given no tolerance, which would also take the milliseconds that some
notifications have in ``ts`` for seconds.
"""

from mercadopago.webhook import InvalidWebhookSignatureError, WebhookSignatureValidator


def is_signed(secret: str, signature: str | None, request_id: str | None, data_id: str | None) -> bool:
    """``signature`` and ``request_id`` are the headers x-signature and x-request-id, ``data_id`` the query's data.id.

    Ids with letters are signed as they are, or in lower case as MercadoPago's pages long had it.
    """
    if not all(part is None or part.isascii() for part in (signature, request_id, data_id)):
        return False  # the validator can't compare it
    spellings = [data_id] if data_id is None else dict.fromkeys((data_id, data_id.lower()))
    return any(_fits(secret, signature, request_id, spelling) for spelling in spellings)


def _fits(secret: str, signature: str | None, request_id: str | None, data_id: str | None) -> bool:
    try:
        WebhookSignatureValidator.validate(signature, request_id, data_id, secret)
    except InvalidWebhookSignatureError:
        return False
    return True
