import base64
import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import AkesoError, ForbiddenError, TooLargeError, UnavailableError
from shared.guard import grant as grants
from shared.model.base import canonical
from shared.model.facts import Scope
from shared.model.grant import Grant


def pair(seed: int) -> tuple[bytes, bytes]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


PRIVATE, PUBLIC = pair(1)
OTHER_PRIVATE, OTHER_PUBLIC = pair(2)
GRANT = Grant(
    id="g-1",
    incident="i-1",
    tenant="default",
    cluster="prod",
    scope=Scope(kind="Deployment", namespace="shop", name="web", uid="u-1"),
    action="scale_deployment",
    mode="do",
    plan_hash="a" * 64,
    epoch="e-1",
    start_by=1_700_000_000_000,
    finish_by=1_700_000_060_000,
    approvers=("anna", "jürgen"),
)
TOKEN = grants.sign(GRANT, PRIVATE)


def content(token: str) -> dict:
    body = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def refused(token: str, pems: list[bytes] | None = None) -> str:
    with pytest.raises(ForbiddenError) as caught:
        grants.verify(token, [PUBLIC] if pems is None else pems)
    assert caught.value.reason == "grant"
    return str(caught.value)


class TestSigned:
    def test_comes_back_as_it_was(self):
        assert grants.verify(TOKEN, [PUBLIC]) == GRANT

    def test_the_same_grant_gives_the_same_token(self):
        assert grants.sign(GRANT.model_copy(), PRIVATE) == TOKEN

    def test_is_short_url_safe_text_with_the_key_id_inside_the_signed_part(self):
        assert set(TOKEN) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert content(TOKEN)["kid"] == grants.key_id(PUBLIC)

    def test_key_id_is_sixteen_hex_digits_of_the_raw_keys_hash(self):
        assert grants.key_id(PUBLIC) == "34750f98bd59fcfc"
        assert grants.key_id(OTHER_PUBLIC) != grants.key_id(PUBLIC)

    def test_a_grant_over_the_bound_is_not_signed(self):
        with pytest.raises(TooLargeError) as caught:
            grants.sign(GRANT.model_copy(update={"approvers": ("x" * 8192,)}), PRIVATE)
        assert caught.value.reason == "grant"


class TestRotation:
    def test_the_previous_key_is_accepted_beside_the_present_one(self):
        old, new = TOKEN, grants.sign(GRANT, OTHER_PRIVATE)

        assert grants.verify(old, [OTHER_PUBLIC, PUBLIC]) == GRANT
        assert grants.verify(new, [OTHER_PUBLIC, PUBLIC]) == GRANT

    def test_a_key_that_is_gone_is_not(self):
        refused(TOKEN, [OTHER_PUBLIC])


class TestForged:
    @pytest.mark.parametrize("field", sorted(set(Grant.model_fields) - {"scope", "approvers", "mode"}))
    def test_each_field_is_signed(self, field):
        value = getattr(GRANT, field)
        other = value + 1 if isinstance(value, int) else value + "x"
        edited = canonical({**content(TOKEN), "grant": {**content(TOKEN)["grant"], field: other}})
        body = base64.urlsafe_b64encode(edited).rstrip(b"=").decode()

        refused(f"{body}.{TOKEN.split('.')[1]}")

    @pytest.mark.parametrize(
        "update", [{"mode": "undo"}, {"approvers": ["mallory"]}, {"scope": {"kind": "Node", "name": "n"}}]
    )
    def test_the_structured_fields_are_signed(self, update):
        edited = canonical({**content(TOKEN), "grant": {**content(TOKEN)["grant"], **update}})
        body = base64.urlsafe_b64encode(edited).rstrip(b"=").decode()

        refused(f"{body}.{TOKEN.split('.')[1]}")

    def test_the_signature_of_another_grant_does_not_fit(self):
        other = grants.sign(GRANT.model_copy(update={"id": "g-2"}), PRIVATE)

        refused(f"{TOKEN.split('.')[0]}.{other.split('.')[1]}")

    def test_a_signature_made_for_another_purpose_does_not_fit(self):
        key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
        body = TOKEN.split(".")[0]
        bare = base64.urlsafe_b64encode(key.sign(body.encode())).rstrip(b"=").decode()

        refused(f"{body}.{bare}")

    @pytest.mark.parametrize(
        "signed",
        [
            {"grant": {"id": "g-1"}, "kid": "34750f98bd59fcfc"},
            {"grant": content(TOKEN)["grant"], "kid": "0" * 16},
            {"grant": {**content(TOKEN)["grant"], "extra": 1}, "kid": "34750f98bd59fcfc"},
            ["grant"],
        ],
    )
    def test_a_genuine_signature_over_something_else_is_no_grant(self, signed):
        key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
        body = base64.urlsafe_b64encode(canonical(signed)).rstrip(b"=").decode()
        mark = base64.urlsafe_b64encode(key.sign(b"akeso-grant-v1." + body.encode())).rstrip(b"=").decode()

        refused(f"{body}.{mark}")

    def test_nothing_of_the_token_is_repeated_in_the_refusal(self):
        assert "hunter2" not in refused("hunter2.hunter2")


class TestDamaged:
    @pytest.mark.parametrize("cut", [0, 1, 10, len(TOKEN) // 2, len(TOKEN) - 86, len(TOKEN) - 1])
    def test_a_truncated_token_is_refused(self, cut):
        refused(TOKEN[:cut])

    @pytest.mark.parametrize(
        "token", ["", ".", "..", TOKEN + ".", TOKEN + "A", TOKEN + "\n", " " + TOKEN, TOKEN + "=", "ü.ü", "\ud800.A"]
    )
    def test_what_is_no_token_is_refused(self, token):
        refused(token)

    def test_one_over_the_bound_is_refused_before_any_work(self):
        assert "bound" in refused("A" * (grants.MAX_TOKEN + 1))

    def test_another_spelling_of_the_same_bytes_is_refused(self):
        # the last character carries four bits that mean nothing
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        same = TOKEN[:-1] + last[last.index(TOKEN[-1]) ^ 1]

        assert base64.urlsafe_b64decode(same.split(".")[1] + "==") == base64.urlsafe_b64decode(
            TOKEN.split(".")[1] + "=="
        )
        refused(same)

    @given(st.integers(0, len(TOKEN) - 1), st.characters())
    def test_any_one_character_changed_is_refused(self, where, char):
        changed = TOKEN[:where] + char + TOKEN[where + 1 :]
        if changed != TOKEN:
            refused(changed)

    @given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True)))
    def test_noise_is_refused_without_a_traceback(self, noise):
        refused(noise)


class TestKeys:
    @pytest.mark.parametrize("pems", [[], [b""], [b"not a key"], [PUBLIC, b"\xff"], [PRIVATE]])
    def test_a_broken_mount_does_not_look_like_a_forgery(self, pems):
        with pytest.raises(UnavailableError) as caught:
            grants.verify(TOKEN, pems)
        assert caught.value.reason == "grant-key"

    def test_a_key_of_another_kind_is_refused(self):
        other = generate_private_key(SECP256R1())
        private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

        for call in (lambda: grants.sign(GRANT, private), lambda: grants.key_id(public)):
            with pytest.raises(UnavailableError):
                call()

    @pytest.mark.parametrize("pem", [b"", b"hunter2", PUBLIC])
    def test_a_private_key_that_cannot_be_read_is_not_quoted(self, pem):
        with pytest.raises(AkesoError) as caught:
            grants.sign(GRANT, pem)
        assert caught.value.reason == "grant-key"
        assert caught.value.__cause__ is None
        assert "hunter2" not in str(caught.value)


def test_importing_it_brings_nothing_heavy():
    heavy = "httpx redis yaml kubernetes structlog flask aiohttp asyncio"
    code = f"import sys, shared.guard.grant; print([m for m in '{heavy}'.split() if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
