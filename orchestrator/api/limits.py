"""The limits of the backup API, the same for its JSON and for its frames: docs/internal-api.md names them."""

from typing import Annotated

import msgspec

BODY_LIMIT = 32 * 1024 * 1024
VALUE_LIMIT = 4 * 1024 * 1024

# NUL can't be stored in PostgreSQL's text, and no id of WhatsApp's has one.
KeyType = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[^\x00]*$")]
KeyId = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern="^[^\x00]*$")]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
