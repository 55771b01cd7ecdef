import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.audit.chain import FIRST, Seal, link, seal, verify_links, verify_seals
from shared.errors import MalformedError, UnavailableError


def pair(seed: int) -> tuple[bytes, bytes]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


PRIVATE, PUBLIC = pair(3)
OTHER_PRIVATE, OTHER_PUBLIC = pair(4)
NAME = "default/prod/i-1"


def sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def lines(records: list[str], after: str = FIRST) -> list[str]:
    made = []
    for record in records:
        after = sha1((after + record).encode())
        made.append(f"{after} {record}")
    return made


def records(count: int, **more: object) -> list[str]:
    return [
        json.dumps({"seq": n, "what": "open", "text": f"ünï {n}", **more}, ensure_ascii=False)
        for n in range(1, count + 1)
    ]


def sealed(items: list[str], *counts: int, key: bytes = PRIVATE, chain: str = NAME) -> list[Seal]:
    """One seal for each of `counts`, which are totals."""
    made: list[Seal] = []
    for count in counts:
        start = made[-1].count if made else 0
        made.append(seal(items[start:count], made[-1] if made else None, key, 1_700_000_000_000, chain=chain))
    return made


ITEMS = lines(records(6))
SEALS = sealed(ITEMS, 2, 3, 6)


def judged(items: list[str], seals: list[Seal] = SEALS) -> tuple[bool, str, int | None]:
    verdict = verify_seals(items, seals, PUBLIC, chain=NAME)
    return verdict.ok, verdict.why, verdict.index


class TestLinks:
    def test_hold_from_the_first_line_on(self):
        assert verify_links(ITEMS).ok
        assert verify_links([]).ok

    def test_are_the_sha1_of_the_link_before_and_the_record(self):
        assert FIRST == "0" * 40
        assert link(FIRST, '{"seq":1}') == sha1(b"0" * 40 + b'{"seq":1}')

    def test_a_trimmed_chain_is_taken_up_where_it_was_cut(self):
        assert verify_links(ITEMS[3:], after=ITEMS[2][:40], seq=3).ok
        assert not verify_links(ITEMS[3:]).ok

    @pytest.mark.parametrize("where", range(6))
    def test_one_character_changed_anywhere_breaks_at_that_line(self, where):
        for at in (0, 39, 41, 50, len(ITEMS[where]) - 1):
            changed = ITEMS[where][:at] + ("0" if ITEMS[where][at] != "0" else "1") + ITEMS[where][at + 1 :]
            verdict = verify_links([*ITEMS[:where], changed, *ITEMS[where + 1 :]])
            assert (verdict.ok, verdict.why, verdict.index) == (False, "broken link", where)

    def test_a_line_removed_added_or_moved_breaks_there(self):
        assert verify_links(ITEMS[1:]).index == 0
        assert verify_links([*ITEMS[:2], *ITEMS[3:]]).index == 2
        assert verify_links([ITEMS[1], ITEMS[0], *ITEMS[2:]]).index == 0
        assert verify_links([*ITEMS[:2], ITEMS[1], *ITEMS[2:]]).index == 2

    @pytest.mark.parametrize(
        "item", ["", " ", "x", "0" * 40, "0" * 40 + "{}", "G" * 40 + " {}", "A" * 40 + " {}", "\ud800"]
    )
    def test_what_is_no_line_is_named(self, item):
        verdict = verify_links([*ITEMS, item])
        assert (verdict.why, verdict.index) == ("not a line", 6)

    @pytest.mark.parametrize(
        "record", ["", "word", "[1]", "1", "null", '{"seq":1', '{"seq":1}x', "[" * 100_000, "\ud800", "9" * 5000]
    )
    def test_a_well_linked_record_that_is_no_object_is_named(self, record):
        verdict = verify_links([f"{link(FIRST, record)} {record}"])
        assert (verdict.ok, verdict.why, verdict.index) == (False, "not JSON", 0)

    @pytest.mark.parametrize("numbers", [[1, 3], [2], [0], [1, 1], [1, 2, 2], [True], ["1"], [1.0], [None]])
    def test_a_well_linked_gap_in_the_numbers_is_named(self, numbers):
        verdict = verify_links(lines([json.dumps({"seq": n}) for n in numbers]))
        assert (verdict.ok, verdict.why, verdict.index) == (False, "gap in seq", len(numbers) - 1)

    def test_a_record_without_number_is_named(self):
        assert verify_links(lines(["{}"])).why == "gap in seq"

    @given(st.lists(st.text(), max_size=5))
    def test_noise_is_judged_without_a_traceback(self, items):
        assert verify_links(items).ok == (not items)


class TestSealing:
    def test_vouches_for_the_new_lines_only(self):
        assert [s.count for s in SEALS] == [2, 3, 6]
        assert [s.link for s in SEALS] == [ITEMS[1][:40], ITEMS[2][:40], ITEMS[5][:40]]

    def test_the_same_lines_give_the_same_seal(self):
        assert sealed(ITEMS, 2, 3, 6) == SEALS

    def test_a_seal_survives_the_way_through_json(self):
        again = [Seal.model_validate_json(s.model_dump_json()) for s in SEALS]
        assert verify_seals(ITEMS, again, PUBLIC, chain=NAME).ok

    @pytest.mark.parametrize(
        ("items", "previous"),
        [
            ([], None),
            (ITEMS[1:], None),
            (ITEMS, SEALS[0]),
            (ITEMS[3:], SEALS[0]),
            (["x"], None),
            (lines(['{"seq":2}']), None),
        ],
    )
    def test_a_broken_chain_is_never_sealed(self, items, previous):
        with pytest.raises(MalformedError) as caught:
            seal(items, previous, PRIVATE, 0, chain=NAME)
        assert caught.value.reason == "audit-chain"

    def test_a_chain_does_not_go_on_from_anothers_seal(self):
        with pytest.raises(MalformedError):
            seal(ITEMS[2:], SEALS[0], PRIVATE, 0, chain="default/prod/i-2")

    @pytest.mark.parametrize("pem", [b"", b"hunter2", PUBLIC])
    def test_a_key_that_cannot_be_read_is_not_quoted(self, pem):
        with pytest.raises(UnavailableError) as caught:
            seal(ITEMS, None, pem, 0)
        assert (caught.value.reason, caught.value.__cause__) == ("audit-key", None)


class TestSealedAudit:
    def test_holds(self):
        verdict = verify_seals(ITEMS, SEALS, PUBLIC, chain=NAME)
        assert (verdict.ok, verdict.sealed) == (True, 6)

    def test_lines_after_the_last_seal_are_guarded_by_links(self):
        verdict = verify_seals(ITEMS, SEALS[:2], PUBLIC, chain=NAME)
        assert (verdict.ok, verdict.sealed) == (True, 3)
        assert judged([*ITEMS[:5], ITEMS[5] + " "], SEALS[:2]) == (False, "broken link", 5)

    def test_an_audit_that_nobody_sealed_is_judged_by_links(self):
        verdict = verify_seals(ITEMS, [], PUBLIC, chain=NAME)
        assert (verdict.ok, verdict.sealed) == (True, 0)

    @pytest.mark.parametrize("where", range(6))
    def test_a_changed_line_is_found_even_when_all_links_were_made_anew(self, where):
        forged = records(6)
        forged[where] = json.dumps({"seq": where + 1, "what": "nothing happened"})
        items = lines(forged)

        assert verify_links(items).ok
        ok, why, index = judged(items)
        assert (ok, why) == (False, "changed")
        assert index == [0, 0, 2, 3, 3, 3][where]

    @pytest.mark.parametrize("where", range(6))
    def test_a_changed_line_is_found_by_its_link(self, where):
        items = [*ITEMS[:where], ITEMS[where].replace("open", "shut"), *ITEMS[where + 1 :]]
        assert judged(items) == (False, "broken link", where)

    @pytest.mark.parametrize("count", range(6))
    def test_a_truncated_audit_is_found(self, count):
        assert judged(ITEMS[:count]) == (False, "truncated", count)

    def test_a_removed_line_is_found_even_when_links_and_numbers_were_made_anew(self):
        assert judged(lines(records(5))) == (False, "truncated", 5)
        assert judged([*lines(records(5)), *lines(['{"seq":6}'], lines(records(5))[-1][:40])])[:2] == (False, "changed")

    def test_reordered_lines_are_found_even_when_links_and_numbers_were_made_anew(self):
        swapped = records(6)
        swapped[0], swapped[1] = swapped[1].replace('"seq": 2', '"seq": 1'), swapped[0].replace('"seq": 1', '"seq": 2')
        assert judged(lines(swapped)) == (False, "changed", 0)

    def test_another_incidents_audit_with_its_own_seals_does_not_pass(self):
        assert not verify_seals(ITEMS, SEALS, PUBLIC, chain="default/prod/i-2").ok


class TestForgedSeals:
    @pytest.mark.parametrize(
        "update",
        [
            {"count": 5}, {"link": "0" * 40}, {"digest": "0" * 64}, {"at": 0}, {"key": "0" * 16}, {"chain": "x"},
            {"signature": ""}, {"signature": "?"}, {"signature": base64.b64encode(b"x" * 64).decode()},
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("where", range(3))
    def test_each_field_is_signed(self, update, where):
        seals = [*SEALS]
        seals[where] = seals[where].model_copy(update=update)

        verdict = verify_seals(ITEMS, seals, PUBLIC, chain=NAME)
        assert (verdict.ok, verdict.why, verdict.seal) == (False, "forged seal", where)

    def test_a_seal_by_another_key_is_forged(self):
        assert judged(ITEMS, sealed(ITEMS, 6, key=OTHER_PRIVATE)) == (False, "forged seal", None)

    def test_a_removed_seal_is_found_by_the_next(self):
        for left in ([SEALS[0], SEALS[2]], SEALS[1:]):
            assert judged(ITEMS, left)[:2] == (False, "changed")

    def test_a_seal_stands_on_exactly_the_one_before(self):
        other = seal(ITEMS[:2], None, PRIVATE, 1_800_000_000_000, chain=NAME)

        assert judged(ITEMS, [other])[0]
        assert judged(ITEMS, [other, *SEALS[1:]])[:2] == (False, "changed")

    def test_reordered_or_repeated_seals_are_found(self):
        assert not judged(ITEMS, [SEALS[1], SEALS[0], SEALS[2]])[0]
        assert judged(ITEMS, [SEALS[0], SEALS[0]])[:2] == (False, "forged seal")

    def test_a_seal_says_nothing_about_a_later_one_of_a_rotated_key(self):
        both = sealed(ITEMS, 3)
        both.append(seal(ITEMS[3:], both[0], OTHER_PRIVATE, 1, chain=NAME))

        assert verify_seals(ITEMS, both, [PUBLIC, OTHER_PUBLIC], chain=NAME).ok
        assert verify_seals(ITEMS, both, PUBLIC, chain=NAME).seal == 1

    @pytest.mark.parametrize("pems", [[], b"", [b"x"], PRIVATE])
    def test_a_key_that_cannot_be_read_is_no_verdict(self, pems):
        with pytest.raises(UnavailableError):
            verify_seals(ITEMS, SEALS, pems, chain=NAME)


@given(st.integers(0, len("\n".join(ITEMS)) - 1), st.characters(exclude_characters="\n"))
def test_any_one_character_changed_is_found(where, char):
    text = "\n".join(ITEMS)
    items = (text[:where] + char + text[where + 1 :]).split("\n")

    assert judged(items)[0] == (items == ITEMS)
