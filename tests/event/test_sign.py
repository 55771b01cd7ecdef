import json
from dataclasses import fields, replace

import pytest

from shared.errors import ForbiddenError
from shared.event.codec import Event, decode, encode
from shared.event.sign import SIGNED_EXTENSIONS, sign, verify
from shared.event.types import EXTENSIONS
from tests.event.parts import KEY, OLD_KEY, an_event

FREE = {"traceparent", "sig"}
CORE = [field.name for field in fields(Event) if field.name not in {"data", "extensions"}]
OTHER = {"time": "2026-03-04T05:06:08Z", "hop": "4", "expirytime": "2999-01-01T00:00:01Z"}

signed = sign(an_event(), KEY)


def refused(event, keys=(KEY,)):
    with pytest.raises(ForbiddenError) as caught:
        verify(event, list(keys))
    return caught.value.reason


class TestWhatIsSigned:
    def test_is_every_extension_of_ours_but_those_that_each_hop_rewrites(self):
        assert set(SIGNED_EXTENSIONS) == set(EXTENSIONS) - FREE

    def test_holds_untouched(self):
        verify(signed, [KEY])

    def test_stands_in_the_example_whole(self):
        # else the tests below would edit nothing
        assert {name for name in EXTENSIONS if an_event().get(name)} == set(EXTENSIONS) - {"sig"}

    @pytest.mark.parametrize("name", CORE)
    def test_an_edited_attribute_is_refused(self, name):
        assert refused(replace(signed, **{name: OTHER.get(name, "other")})) == "signature"

    @pytest.mark.parametrize("name", SIGNED_EXTENSIONS)
    def test_an_edited_extension_is_refused(self, name):
        assert refused(signed.with_extensions(**{name: OTHER.get(name, "other")})) == "signature"

    @pytest.mark.parametrize("name", SIGNED_EXTENSIONS)
    def test_an_extension_taken_away_is_refused(self, name):
        assert refused(signed.with_extensions(**{name: ""})) == "signature"

    @pytest.mark.parametrize("name", SIGNED_EXTENSIONS)
    def test_an_extension_added_is_refused(self, name):
        bare = sign(an_event().with_extensions(**{name: ""}), KEY)
        assert refused(bare.with_extensions(**{name: OTHER.get(name, "other")})) == "signature"

    @pytest.mark.parametrize("name", ["subject", "time"])
    def test_a_core_attribute_taken_away_is_refused(self, name):
        assert refused(replace(signed, **{name: ""})) == "signature"

    @pytest.mark.parametrize(
        "data", [{}, {"incident": "inc-2"}, {"incident": "inc-1", "reason": "ä \u2028 reason", "more": None}]
    )
    def test_edited_data_is_refused(self, data):
        assert refused(replace(signed, data=data)) == "signature"

    def test_values_cannot_change_places(self):
        one = sign(an_event().with_extensions(tenant="a", cluster="b"), KEY)
        assert refused(one.with_extensions(tenant="b", cluster="a")) == "signature"
        assert refused(replace(one, subject=one.id, id=one.subject)) == "signature"


class TestWhatIsFree:
    @pytest.mark.parametrize("name", ["traceparent", "knativearrivaltime", "knativebrokerttl", "knativeerrorcode"])
    def test_carriers_may_change_it(self, name):
        verify(signed.with_extensions(**{name: "other"}), [KEY])
        verify(signed.with_extensions(**{name: ""}), [KEY])

    @pytest.mark.parametrize(
        "time", ["2026-03-04T05:06:07.000Z", "2026-03-04T05:06:07+00:00", "2026-03-04T07:06:07.000000000+02:00"]
    )
    def test_a_broker_may_write_the_same_moment_otherwise(self, time):
        verify(replace(signed, time=time), [KEY])

    def test_another_millisecond_is_another_moment(self):
        assert refused(replace(signed, time="2026-03-04T05:06:07.001Z")) == "signature"

    def test_keys_of_the_data_may_change_places(self):
        verify(replace(signed, data=dict(reversed(signed.data.items()))), [KEY])


class TestModes:
    def test_carry_the_same_signature(self):
        there_and_back = decode(*encode(decode(*encode(signed)), structured=True))
        assert there_and_back.get("sig") == signed.get("sig")
        verify(there_and_back, [KEY])

    def test_of_json_writers_differ(self):
        headers, body = encode(signed)
        for text in (json.dumps(json.loads(body), ensure_ascii=False), json.dumps(json.loads(body), indent=3)):
            verify(decode(headers, text.encode()), [KEY])


class TestKeys:
    def test_the_previous_one_is_accepted(self):
        verify(sign(an_event(), OLD_KEY), [KEY, OLD_KEY])

    def test_an_older_one_is_not(self):
        assert refused(sign(an_event(), b"x" * 32), [KEY, OLD_KEY]) == "signature"

    def test_none_accepts_nothing(self):
        assert refused(signed, []) == "signature"


class TestNoSignature:
    def test_is_refused(self):
        assert refused(an_event()) == "unsigned"
        assert refused(signed.with_extensions(sig="")) == "unsigned"

    @pytest.mark.parametrize("sig", ["0" * 64, "x", "ä", signed.get("sig").upper(), signed.get("sig")[:-1]])
    def test_of_ours_is_refused(self, sig):
        assert refused(replace(signed, extensions={**signed.extensions, "sig": sig})) == "signature"

    def test_signing_again_gives_the_same(self):
        assert sign(signed, KEY) == signed
