"""The guard's permission as a signed token, so that an executor needs no trust in whatever carried it.

The signature is checked before a single byte of the content is parsed. This module knows nothing of time, epoch or
use: whether a genuine grant still counts is for `begin` to say.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import ValidationError

from shared.errors import ForbiddenError, TooLargeError, UnavailableError
from shared.model.base import Model, canonical
from shared.model.grant import Grant
from shared.secrets import Secrets

MAX_TOKEN: Final = 8192  # characters
_PURPOSE: Final = b"akeso-grant-v1."  # a signature made for anything else can never be passed off as a grant


class _Signed(Model):
    grant: Grant
    kid: str


def _public(pem: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnavailableError("a public key for grants cannot be read", reason="grant-key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UnavailableError("a public key for grants is not Ed25519", reason="grant-key")
    return key


def _private(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # not chained: the text of the cause may quote the file
        raise UnavailableError("the private key for grants cannot be read", reason="grant-key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UnavailableError("the private key for grants is not Ed25519", reason="grant-key")
    return key


def _id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Raise ValueError for everything that `_encode` would not have written, so that one grant has one token."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encode(data) != text:
        raise ValueError("not in canonical form")
    return data


def key_id(public_pem: bytes) -> str:
    """First 16 hex digits of the SHA-256 of the raw public key. Raises UnavailableError (reason `grant-key`)."""
    return _id(_public(public_pem))


def sign(grant: Grant, private_pem: bytes) -> str:
    """`<base64url of canonical JSON {grant, kid}>.<base64url of the signature>`; the same grant gives the same token.

    Raises UnavailableError (reason `grant-key`) when the key cannot be used, TooLargeError over `MAX_TOKEN`.
    """
    key = _private(private_pem)
    body = _encode(canonical({"grant": grant.model_dump(mode="json"), "kid": _id(key.public_key())}))
    token = f"{body}.{_encode(key.sign(_PURPOSE + body.encode()))}"
    if len(token) > MAX_TOKEN:
        raise TooLargeError(f"a grant of {len(token)} characters", reason="grant")
    return token


def trusted(secrets: Secrets) -> list[bytes]:
    """The keys that a grant may be signed with: the present one and, during a rotation, the one before.

    Raises UnavailableError when the present one is not there.
    """
    previous = secrets.optional("grant-previous.pub")
    return [secrets.required("grant.pub"), *([previous] if previous else [])]


def verify(token: str, public_pems: Sequence[bytes]) -> Grant:
    """Give the grant, if one of the keys (the present and the previous one) has signed exactly this token.

    Raises ForbiddenError (reason `grant`) for every other token, UnavailableError (reason `grant-key`) when a key
    cannot be read or none is given: a broken mount must not look like a forgery.
    """
    keys = [_public(pem) for pem in public_pems]
    if not keys:
        raise UnavailableError("no public key for grants", reason="grant-key")
    if len(token) > MAX_TOKEN:
        raise ForbiddenError("a grant over its bound", reason="grant")
    body, _, tail = token.partition(".")
    try:
        signature, content = _decode(tail), _decode(body)
    except (ValueError, binascii.Error):
        raise ForbiddenError("a grant that is no token", reason="grant") from None
    for key in keys:
        try:
            key.verify(signature, _PURPOSE + body.encode())
        except InvalidSignature:
            continue
        return _read(content, _id(key))
    raise ForbiddenError("a grant that none of our keys signed", reason="grant")


def _read(content: bytes, signer: str) -> Grant:
    try:
        signed = _Signed.model_validate_json(content)
    except ValidationError:
        raise ForbiddenError("a signed grant of another form", reason="grant") from None
    if signed.kid != signer:
        raise ForbiddenError("a grant that names another key", reason="grant")
    return signed.grant
