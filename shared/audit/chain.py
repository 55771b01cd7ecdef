"""Shows whether the audit of an incident is what the transitions wrote: links by SHA-1, seals by Ed25519.

Redis' Lua has nothing better than SHA-1 and no key, so links alone only find accidents and careless hands; the seals,
made each minute with a key that never enters Redis, find the rest. Lines after the last seal are guarded by links
alone. Nothing here writes lines or repairs them.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import Field

from shared.errors import MalformedError, UnavailableError
from shared.model.base import Model, canonical

FIRST: Final = "0" * 40  # the link before the first line
_LINE: Final = re.compile(r"([0-9a-f]{40}) (.*)", re.DOTALL)
_PURPOSE: Final = b"akeso-seal-v1."

Why = Literal["", "not a line", "broken link", "not JSON", "gap in seq", "truncated", "changed", "forged seal"]


class Verdict(Model):
    """`index` is the first bad item, `seal` the first bad seal; `sealed` is how many items seals vouch for."""

    ok: bool
    why: Why = ""
    index: int | None = None
    seal: int | None = None
    sealed: int = 0


class Seal(Model):
    """Vouches for the first `count` lines of `chain`. `at` in ms since the Unix epoch; digests and key id in hex."""

    chain: str = ""
    count: int = Field(ge=1)
    link: str  # of the last line
    digest: str  # SHA-256 over the new lines and the seal before
    at: int
    key: str
    signature: str = ""

    @property
    def signed(self) -> bytes:
        return _PURPOSE + canonical(self.model_dump(mode="json", exclude={"signature"}))


def _digest(items: Sequence[str], previous: Seal | None) -> str:
    before = None if previous is None else previous.model_dump(mode="json")
    return hashlib.sha256(canonical([before, list(items)])).hexdigest()


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # not chained: the text of the cause may quote the file
        raise UnavailableError("the audit key cannot be read", reason="audit-key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UnavailableError("the audit key is not Ed25519", reason="audit-key")
    return key


def _public(pem: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnavailableError("a public audit key cannot be read", reason="audit-key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UnavailableError("a public audit key is not Ed25519", reason="audit-key")
    return key


def link(previous: str, record: str) -> str:
    """Compute the link of `record` after the line whose link is `previous`, as the Lua scripts do."""
    return hashlib.sha1((previous + record).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def verify_links(items: Sequence[str], *, after: str = FIRST, seq: int = 0) -> Verdict:
    """Walk the lines, oldest first. `after` and `seq` are link and number of the line before, where it was trimmed."""
    for index, item in enumerate(items):
        seq += 1
        line = _LINE.fullmatch(item)
        if line is None:
            return Verdict(ok=False, why="not a line", index=index)
        found, record = line.groups()
        if found != link(after, record):
            return Verdict(ok=False, why="broken link", index=index)
        try:
            content = json.loads(record)
        except (ValueError, RecursionError):
            return Verdict(ok=False, why="not JSON", index=index)
        if not isinstance(content, dict):
            return Verdict(ok=False, why="not JSON", index=index)
        number = content.get("seq")
        if type(number) is not int or number != seq:  # True and 1.0 equal 1
            return Verdict(ok=False, why="gap in seq", index=index)
        after = found
    return Verdict(ok=True)


def seal(items: Sequence[str], previous: Seal | None, private_pem: bytes, now_ms: int, *, chain: str = "") -> Seal:
    """Vouch for `items`: only the new lines, those after the first `previous.count`.

    `chain` names whose lines these are (tenant, cluster, incident), so that one chain never passes for another's.
    Raises MalformedError (reason `audit-chain`) when there is nothing new, the lines do not follow on, or the seal
    before belongs to another chain: a broken chain is never sealed. Raises UnavailableError (reason `audit-key`).
    """
    key = _private(private_pem)
    if not items:
        raise MalformedError("nothing to seal", reason="audit-chain")
    if previous is None:
        verdict, count = verify_links(items), 0
    else:
        if previous.chain != chain:
            raise MalformedError("the seal before belongs to another chain", reason="audit-chain")
        verdict, count = verify_links(items, after=previous.link, seq=previous.count), previous.count
    if not verdict.ok:
        where = count + (verdict.index or 0)
        raise MalformedError(f"line {where} of the audit of {chain or 'a chain'}: {verdict.why}", reason="audit-chain")
    unsigned = Seal(
        chain=chain,
        count=count + len(items),
        link=items[-1][:40],
        digest=_digest(items, previous),
        at=now_ms,
        key=_key_id(key.public_key()),
    )
    return unsigned.model_copy(update={"signature": base64.b64encode(key.sign(unsigned.signed)).decode()})


def _genuine(candidate: Seal, keys: dict[str, Ed25519PublicKey]) -> bool:
    try:
        keys[candidate.key].verify(base64.b64decode(candidate.signature, validate=True), candidate.signed)
    except (KeyError, ValueError, InvalidSignature):
        return False
    return True


def verify_seals(
    items: Sequence[str], seals: Sequence[Seal], public_pem: bytes | Sequence[bytes], *, chain: str = ""
) -> Verdict:
    """Judge the whole audit of one chain: all lines from the first (exported ones, too) and all seals, oldest first.

    Several keys may be given, since seals outlive a key's rotation. An audit whose newest seals were removed along
    with their lines cannot be told from a younger one: keep seals elsewhere, too. Raises UnavailableError (reason
    `audit-key`).
    """
    pems = [public_pem] if isinstance(public_pem, bytes) else public_pem
    keys = {_key_id(key): key for key in map(_public, pems)}
    if not keys:
        raise UnavailableError("no public audit key", reason="audit-key")
    links = verify_links(items)
    previous: Seal | None = None
    for number, current in enumerate(seals):
        start = previous.count if previous else 0
        if not _genuine(current, keys) or current.chain != chain or current.count <= start:
            return Verdict(ok=False, why="forged seal", seal=number, index=links.index, sealed=start)
        if links.index is not None and links.index < min(current.count, len(items)):
            return links.model_copy(update={"seal": number, "sealed": start})
        if len(items) < current.count:
            return Verdict(ok=False, why="truncated", seal=number, index=len(items), sealed=start)
        new = items[start : current.count]
        if current.digest != _digest(new, previous) or current.link != new[-1][:40]:
            return Verdict(ok=False, why="changed", seal=number, index=start, sealed=start)
        previous = current
    return links.model_copy(update={"sealed": previous.count if previous else 0})
