"""The values of an auth state: into Baileys' own JSON, and checked before anybody stores them."""

import base64
from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from orchestrator.domain.auth_state import Account, SignalKeyName
from orchestrator.domain.errors import AuthStateRefused
from orchestrator.domain.portable_state import PortableState
from orchestrator.transfer.key_names import require_possible

#: Bytes of one value, as docs/internal-api.md has it.
VALUE_LIMIT = 4 * 1024 * 1024

_CURVE_KEY_BYTES = 32


class _Bytes(msgspec.Struct, tag_field="type", tag="Buffer"):
    data: str


class _KeyPair(msgspec.Struct):
    public: _Bytes
    private: _Bytes


class _SignedPreKey(msgspec.Struct, rename="camel"):
    key_pair: _KeyPair
    key_id: int


class _Me(msgspec.Struct):
    id: str
    lid: str | None = None


class _PairedCreds(msgspec.Struct, rename="camel"):
    """What creds have once an account is linked, and not before (``me`` and ``account``)."""

    me: _Me
    account: dict[str, Any]
    noise_key: _KeyPair
    signed_identity_key: _KeyPair
    signed_pre_key: _SignedPreKey
    registration_id: int
    adv_secret_key: str


def portable_state(creds: bytes, keys: Mapping[SignalKeyName, bytes]) -> PortableState:
    """The auth state out of JSON texts in whatever notation for bytes; ``AuthStateRefused`` unless all of it is sound."""
    if not keys:
        raise AuthStateRefused("There are creds but not one signal key beside them; the source is cut off.")
    for name in keys:
        require_possible(name)
    values = {name: baileys_json("-".join(name), text) for name, text in keys.items()}
    creds = baileys_json("creds", creds)
    present = {name: text for name, text in values.items() if text.strip() != b"null"}  # Baileys takes null for absent
    return PortableState(creds, _account(creds), present)


def identity_of(creds: bytes) -> str:
    """The public identity key of creds, base64: what makes one pairing different from another, even of the same account."""
    return _paired(creds).signed_identity_key.public.data


def baileys_json(name: str, text: bytes) -> bytes:
    """The same value as ``BufferJSON`` writes it: ``{"type": "Buffer", "data": "<base64>"}``. ``name`` is for the error."""
    if len(text) > VALUE_LIMIT:
        raise AuthStateRefused(f"The value of {name[:80]!r} is larger than {VALUE_LIMIT // 1024**2} MiB.")
    if not text.strip():
        raise AuthStateRefused(f"The value of {name[:80]!r} is empty; the source is cut off.")
    try:
        value = msgspec.json.decode(text)
        written = _bytes_as_base64(value)
        return text if written == value else msgspec.json.encode(written)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise AuthStateRefused(
            f"The value of {name[:80]!r} is not valid JSON; the source is cut off or damaged."
        ) from error


def _bytes_as_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes_as_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    numbers = value.get("data") if value.get("type") == "Buffer" else _numbered(value)
    if _are_bytes(numbers):
        return {"type": "Buffer", "data": base64.b64encode(bytes(numbers)).decode()}
    return {key: _bytes_as_base64(item) for key, item in value.items()}


def _numbered(value: dict[str, Any]) -> list[Any] | None:
    """The items of ``{"0": a, "1": b, ...}``, which is what ``JSON.stringify`` makes of a Uint8Array."""
    return list(value.values()) if value and list(value) == [str(number) for number in range(len(value))] else None


def _are_bytes(numbers: Any) -> TypeGuard[list[int]]:
    return isinstance(numbers, list) and all(type(number) is int and 0 <= number <= 255 for number in numbers)


def _account(creds: bytes) -> Account:
    paired = _paired(creds)
    for what, pair in (("noiseKey", paired.noise_key), ("signedIdentityKey", paired.signed_identity_key)):
        if _length(pair.private) != _CURVE_KEY_BYTES or _length(pair.public) < _CURVE_KEY_BYTES:
            raise AuthStateRefused(f"The creds are damaged: {what} is not a pair of {_CURVE_KEY_BYTES} bytes each.")
    if "@" not in paired.me.id:
        raise AuthStateRefused("The creds are damaged: me.id is no address of an account.")
    return Account(paired.me.id, paired.me.lid)


def _paired(creds: bytes) -> _PairedCreds:
    try:
        return msgspec.json.decode(creds, type=_PairedCreds)
    except msgspec.ValidationError as error:
        raise AuthStateRefused(f"The creds are not those of a paired account: {error}.") from error


def _length(value: _Bytes) -> int:
    try:
        return len(base64.b64decode(value.data, validate=True))
    except ValueError:
        return 0
