import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import MalformedError
from shared.event.codec import Event, ascii_only, decode, dump, encode, parse
from shared.event.types import EXTENSIONS
from tests.event.parts import an_event

STRUCTURED = {"content-type": "application/cloudevents+json"}
BINARY = {
    "ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s", "ce-id": "i", "content-type": "application/json",
}  # fmt: skip
JSON = {"specversion": "1.0", "type": "t", "source": "/s", "id": "i", "data": {}}
OURS = ("type", "source", "id", "time", "subject", *EXTENSIONS)
NOT_FOR_A_HEADER = {
    "non-ascii": "ä", "control": "a\x01b", "line": "a\r\nce-hop: 0", "delete": "a\x7f", "padded": " a ",
    "long": "x" * 1025,
}  # fmt: skip


def structured(**changes):
    text = {name: value for name, value in (JSON | changes).items() if value is not ...}
    return decode(STRUCTURED, json.dumps(text).encode())


def binary(body=b"{}", **changes):
    return decode({name: value for name, value in (BINARY | changes).items() if value is not ...}, body)


def reason_of(call, *args, **kwargs):
    with pytest.raises(MalformedError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


class TestRoundTrip:
    @pytest.mark.parametrize("mode", [False, True], ids=["binary", "structured"])
    def test_gives_the_same_event(self, mode):
        event = an_event()
        assert decode(*encode(event, structured=mode)) == event

    @pytest.mark.parametrize("mode", [False, True], ids=["binary", "structured"])
    def test_invents_nothing(self, mode):
        event = Event(type="t", source="/s", id="i")
        assert encode(event, structured=mode) == encode(event, structured=mode)
        assert decode(*encode(event, structured=mode)) == event

    def test_in_binary_mode_is_an_event_by_its_headers(self):
        headers, body = encode(an_event())
        assert headers["content-type"] == "application/json"
        assert headers["ce-specversion"] == "1.0"
        assert headers["ce-incidentid"] == "inc-1"
        assert json.loads(body) == an_event().data

    def test_headers_are_ascii_strings_of_one_line(self):
        for name, value in encode(an_event())[0].items():
            assert isinstance(value, str)
            assert (name + value).isascii()
            assert value.isprintable()

    def test_of_half_a_surrogate(self):
        event = an_event(data={"text": "\ud800"})
        assert decode(*encode(event)) == event
        assert decode(*encode(event, structured=True)) == event

    def test_of_text_that_is_not_english_is_not_made_longer(self):
        assert len(encode(an_event(data={"t": "ä" * 1000}))[1]) < 2020

    def test_survives_other_cases_of_header_names(self):
        headers, body = encode(an_event())
        assert decode({name.upper(): value for name, value in headers.items()}, body) == an_event()

    def test_through_text(self):
        assert parse(dump(an_event())) == an_event()

    def test_with_no_data_is_an_empty_object(self):
        assert binary(b"").data == {}
        assert structured(data=...).data == {}
        assert structured(data=None).data == {}

    def test_data_in_base64_is_the_same_data(self):
        assert structured(data=..., data_base64="eyJhIjogMX0=").data == {"a": 1}

    def test_ten_megabytes(self):
        event = an_event(data={"text": "x" * 10_000_000})
        assert decode(*encode(event)) == event
        assert decode(*encode(event, structured=True)) == event


class TestWhatIsNoEvent:
    @pytest.mark.parametrize("name", ["specversion", "type", "source", "id"])
    def test_without_a_required_attribute(self, name):
        assert reason_of(structured, **{name: ...}) == "not-an-event"
        assert reason_of(structured, **{name: ""}) == "not-an-event"
        assert reason_of(binary, **{f"ce-{name}": ...}) == "not-an-event"
        assert reason_of(binary, **{f"ce-{name}": ""}) == "not-an-event"
        assert reason_of(binary, **{f"ce-{name}": "  "}) == "not-an-event"

    @pytest.mark.parametrize("version", ["0.3", "1.1", "2.0", "1", "1.0.0"])
    def test_of_another_specversion(self, version):
        assert reason_of(structured, specversion=version) == "not-an-event"
        assert reason_of(binary, **{"ce-specversion": version}) == "not-an-event"

    @pytest.mark.parametrize("version", [1.0, 1, [], {}, True, None])
    def test_of_a_specversion_that_is_no_text(self, version):
        assert reason_of(structured, specversion=version) == "not-an-event"

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff\xfe\x00", b"null", b"[]", b"7", b'"text"', b"NaN", b"<html>", b"{}garbage"]
    )
    def test_garbage_in_structured_mode(self, body):
        assert reason_of(decode, STRUCTURED, body) == "not-an-event"
        assert reason_of(decode, {}, body) == "not-an-event"

    def test_a_batch(self):
        batch = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
        assert reason_of(decode, batch, json.dumps([JSON]).encode()) == "batch"

    def test_nested_without_end(self):
        assert reason_of(decode, STRUCTURED, b"[" * 100_000) == "not-an-event"
        assert reason_of(structured, incidentid={"a": [{}]}) == "not-an-event"


class TestData:
    @pytest.mark.parametrize(
        "body",
        [b"{", b"[]", b"[{}]", b'"{}"', b"7", b"true", b"\xff", b"{} {}", b'{"a": NaN}', b'{"a": -Infinity}',
         b'{"a": 1e999}', b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000],
    )  # fmt: skip
    def test_must_be_a_json_object(self, body):
        assert reason_of(binary, body) == "data"

    @pytest.mark.parametrize("data", [[], [{}], "{}", 7, True, {"a": float("nan")}, {"a": float("inf")}])
    def test_must_be_a_json_object_in_structured_mode_too(self, data):
        assert reason_of(structured, data=data) == "data"

    @pytest.mark.parametrize("opening", ['{"a":', "["])
    def test_has_a_depth_that_everything_after_it_can_walk(self, opening):
        closing = {"[": "]", '{"a":': "}"}[opening]

        def nested(depth):
            return ('{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}").encode()

        assert binary(nested(64)).data
        for depth in (65, 500, 900, 980, 1000, 5000):
            assert reason_of(binary, nested(depth)) == "data"

    def test_null_is_no_data(self):
        assert binary(b"null").data == {}


class TestAttributes:
    @pytest.mark.parametrize("value", NOT_FOR_A_HEADER.values(), ids=NOT_FOR_A_HEADER)
    @pytest.mark.parametrize("name", OURS)
    def test_of_ours_that_no_header_carries_are_refused(self, name, value):
        assert reason_of(structured, **{name: value}) == "not-an-event"
        assert reason_of(binary, **{f"ce-{name}": value}) == "not-an-event"

    @pytest.mark.parametrize("value", [*NOT_FOR_A_HEADER.values(), {}, [], 1.5, None, ""])
    def test_of_others_that_no_header_carries_are_left_out(self, value):
        assert structured(foreign=value).extensions == {}

    @pytest.mark.parametrize("name", ["Upper", "with-dash", "under_score", "x" * 21, "ä", "a b", "a:\r\nb", ""])
    def test_with_a_name_that_is_none_are_left_out(self, name):
        assert structured(**{name: "v"}).extensions == {}

    def test_in_other_letters_never_stand_for_ours(self):
        assert structured(hop="1", Hop="9", HOP="8").hop == 1

    @pytest.mark.parametrize("value", [[], {}, 1.5, True, "x", "-1", "1234", 1234])
    def test_hop_is_a_small_number(self, value):
        assert reason_of(structured, hop=value) == "not-an-event"

    def test_numbers_and_truths_become_their_text(self):
        assert structured(hop=4, foreign=True, other=7).extensions == {"hop": "4", "foreign": "true", "other": "7"}

    @pytest.mark.parametrize("name", ["time", "expirytime"])
    def test_times_are_times(self, name):
        assert reason_of(structured, **{name: "tomorrow"}) == "not-an-event"
        assert reason_of(structured, **{name: "2026-13-01T00:00:00Z"}) == "not-an-event"
        structured(**{name: "2026-03-04T05:06:07.123456789+02:00"})

    def test_what_brokers_add_is_kept(self):
        assert binary(**{"ce-knativearrivaltime": "2026-01-01T00:00:00Z"}).get("knativearrivaltime")

    def test_a_schema_of_theirs_is_nobodys_business(self):
        assert structured(dataschema="http://x", datacontenttype="application/json").extensions == {}

    @pytest.mark.parametrize(
        "event",
        [
            an_event(subject="ä"), an_event(type=""), an_event(id="a\nb"), an_event(time="now"),
            an_event().with_extensions(hop="many"), an_event().with_extensions(Upper="x"),
            an_event().with_extensions(data="x"), an_event().with_extensions(specversion="1.0"),
            an_event().with_extensions(extensions="x"),
            an_event().with_extensions(**{"a\r\nb": "x"}), an_event(data=json.loads('{"a":' * 70 + "1" + "}" * 70)),
        ],
    )  # fmt: skip
    def test_that_would_be_refused_are_not_sent(self, event):
        for mode in (False, True):
            with pytest.raises(MalformedError):
                encode(event, structured=mode)


class TestEvent:
    def test_an_empty_value_takes_an_extension_away(self):
        assert an_event().with_extensions(action="").get("action") == ""
        assert "action" not in an_event().with_extensions(action="").extensions

    def test_a_changed_copy_leaves_the_original(self):
        event = an_event()
        event.with_extensions(action="other")
        assert event.get("action") == "act"

    @pytest.mark.parametrize(("text", "hop"), [("", 0), ("0", 0), ("12", 12), ("999", 999), ("1000", 0), ("x", 0)])
    def test_hop_is_never_an_error(self, text, hop):
        assert Event("t", "/s", "i", extensions={"hop": text}).hop == hop


class TestHeaderText:
    @pytest.mark.parametrize(
        ("text", "kept"),
        [("plain/0", "plain/0"), ("  padded \n", "padded"), ("very high", "very?high"), ("ä\x00\n\u202e!", "????!"),
         ('50%"x"', "50??x?"), ("", "")],
    )  # fmt: skip
    def test_is_what_every_broker_carries_unchanged(self, text, kept):
        assert ascii_only(text) == kept

    @given(st.text())
    def test_of_anything_is_carried(self, text):
        event = an_event().with_extensions(severity=ascii_only(text))
        assert decode(*encode(event)) == event

    def test_is_bounded(self):
        assert len(ascii_only("x" * 9999)) == 256
        assert len(ascii_only("x" * 9999, 32)) == 32


# Anything that a peer may send

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
_any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_known = st.sampled_from([*OURS, "specversion", "data", "data_base64", "datacontenttype", "dataschema", "extensions"])
_names = _known | st.text(max_size=6)
_value = st.text(string.ascii_letters + string.digits + "-._~:/?#[]@!$&'()*+,;=\"% ", min_size=1, max_size=40).filter(
    lambda text: text.strip() == text
)
_foreign = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in {*OURS, "specversion", "data", "datacontenttype", "dataschema", "extensions"}
)


class TestAnything:
    @settings(max_examples=300)
    @given(st.dictionaries(st.text(max_size=8) | _known.map("ce-{}".format), st.text(max_size=8)), st.binary())
    def test_in_headers_and_body_is_an_event_or_malformed(self, headers, body):
        for given_headers in (headers, BINARY | headers, STRUCTURED | headers):
            _event_or_malformed(given_headers, body)

    @settings(max_examples=300)
    @given(st.dictionaries(_names, _any_json, max_size=6), st.booleans())
    def test_in_a_structured_event_is_an_event_or_malformed(self, members, whole):
        _event_or_malformed(STRUCTURED, json.dumps(JSON | members if whole else members).encode())

    @given(_any_json)
    def test_as_data_is_an_object_or_malformed(self, data):
        _event_or_malformed(BINARY, json.dumps(data).encode())

    @settings(max_examples=200)
    @given(
        st.builds(
            Event,
            type=_value, source=_value, id=_value,
            time=st.just("") | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
            subject=st.just("") | _value,
            data=st.dictionaries(st.text(), _json, max_size=4),
            extensions=st.dictionaries(
                st.sampled_from(sorted(set(EXTENSIONS) - {"hop", "expirytime"})) | _foreign, _value, max_size=5
            ),
        )
    )  # fmt: skip
    def test_that_we_send_comes_back(self, event):
        assert decode(*encode(event)) == event
        assert decode(*encode(event, structured=True)) == event
        assert parse(dump(event)) == event


def _event_or_malformed(headers, body):
    try:
        event = decode(headers, body)
    except MalformedError as error:
        assert error.reason in {"not-an-event", "data", "batch"}  # noqa: PT017 - either way is fine, but no third
        return
    assert isinstance(event.data, dict)
    assert all(_is_plain(text) for text in (event.type, event.source, event.id))
    assert all(_is_plain(name) and _is_plain(value) for name, value in event.extensions.items())
    assert decode(*encode(event, structured=True)) == event
    assert decode(*encode(event)) == event


def _is_plain(text):
    return isinstance(text, str) and text.isascii() and text.isprintable()
