"""AlertManager's body: what is understood, what is refused, and what hostile text becomes."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import clock
from shared.alert.model import LIMIT, Group, parse
from shared.errors import MalformedError, TooLargeError

NOW = 1767604000000
ROOT = Path(__file__).parents[2]
HOUR = 3_600_000


def alert(**changes):
    return {
        "status": "firing",
        "labels": {"alertname": "KubePodCrashLooping", "namespace": "shop"},
        "annotations": {"summary": "restarts"},
        "startsAt": "2026-01-05T09:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "08659ab1fc99329a",
        **changes,
    }


def without(name):
    whole = alert()
    del whole[name]
    return whole


def group(*alerts, **changes):
    top = {"version": "4", "groupKey": "{}:{}", "receiver": "akeso", "status": "firing", "alerts": list(alerts)}
    return json.dumps(top | changes).encode()


def only(*alerts, **changes):
    read = parse(group(*alerts, **changes), now_ms=NOW)
    assert not read.rejected
    assert len(read.alerts) == 1
    return read.alerts[0]


class TestWhole:
    def test_firing_and_resolved_in_one_group(self):
        body = group(
            alert(), alert(status="resolved", fingerprint="b" * 16, endsAt="2026-01-05T09:05:00Z"), truncatedAlerts=3
        )
        read = parse(body, now_ms=NOW)
        assert (read.receiver, read.group_key, read.truncated) == ("akeso", "{}:{}", 3)
        assert [(a.status, a.starts_at, a.ends_at) for a in read.alerts] == [
            ("firing", 1767603600123, -1),
            ("resolved", 1767603600123, 1767603900000),
        ]
        assert read.alerts[0].labels == {"alertname": "KubePodCrashLooping", "namespace": "shop"}
        assert read.alerts[0].annotations == {"summary": "restarts"}

    def test_no_alerts_are_fine(self):
        assert parse(group(), now_ms=NOW) == Group(receiver="akeso", group_key="{}:{}", truncated=0, alerts=())

    def test_fields_of_a_newer_alertmanager_are_ignored(self):
        assert only(alert(mood="bad"), routeLabels={"a": "b"}, notification_reason="new").fingerprint

    def test_a_thousand_alerts_stay_in_order(self):
        body = group(*(alert(fingerprint=f"{n:016x}") for n in range(1000)))
        assert [a.fingerprint for a in parse(body, now_ms=NOW).alerts] == [f"{n:016x}" for n in range(1000)]

    def test_the_clock_is_asked_when_no_time_is_given(self, monkeypatch):
        monkeypatch.setattr("shared.clock.now_ms", lambda: 42)
        assert parse(group(alert(startsAt="?"))).alerts[0].starts_at == 42

    @pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.json")), ids=lambda path: path.stem)
    def test_the_examples_are_whole(self, path):
        read = parse(path.read_bytes(), now_ms=NOW)
        assert len(read.alerts) == 1
        assert not read.rejected


class TestBroken:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "not-json"),
            (group(alert())[:-7], "not-json"),
            (b"\xff\xfe{", "not-json"),
            (b"[" * 100_000, "not-json"),
            (b'{"version": ' + b"9" * 5000 + b"}", "not-json"),
            (b"[]", "not-an-object"),
            (b'"4"', "not-an-object"),
            (b"null", "not-an-object"),
            (group(version=4), "version"),
            (group(version="3"), "version"),
            (b'{"alerts": []}', "version"),
            (b'{"version": "4"}', "wrong-type"),
            (group(alerts=None), "wrong-type"),
            (group(alerts={"0": alert()}), "wrong-type"),
            (group(receiver=7), "wrong-type"),
            (group(groupKey=["x"]), "wrong-type"),
            (group(truncatedAlerts="1"), "wrong-type"),
            (group(truncatedAlerts=True), "wrong-type"),
            (group(truncatedAlerts=-1), "wrong-type"),
        ],
    )
    def test_is_malformed_with_a_reason(self, body, reason):
        with pytest.raises(MalformedError) as caught:
            parse(body, now_ms=NOW)
        assert caught.value.reason == reason

    def test_over_the_limit_is_too_large_before_it_is_read(self):
        with pytest.raises(TooLargeError):
            parse(b"x" * (LIMIT + 1), now_ms=NOW)
        with pytest.raises(TooLargeError):
            parse(group(alert()), limit=20, now_ms=NOW)

    @settings(max_examples=150, deadline=None)
    @given(
        st.binary(max_size=60)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["version", "alerts", "status", "labels", "startsAt", "fingerprint", "x"]),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ).map(lambda tree: json.dumps({"version": "4", "alerts": tree if isinstance(tree, list) else [tree]}).encode())
    )
    def test_anything_is_read_or_malformed(self, body):
        try:
            read = parse(body, now_ms=NOW)
        except MalformedError:
            return
        assert all(a.starts_at >= 0 for a in read.alerts)


class TestOneBadAlert:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (None, "not-an-object"),
            ("firing", "not-an-object"),
            ([], "not-an-object"),
            (without("status"), "status"),
            (alert(status="pending"), "status"),
            (alert(status=["firing"]), "status"),
            (without("labels"), "labels"),
            (alert(labels={}), "labels"),
            (alert(labels=[["alertname", "X"]]), "labels"),
            (alert(labels={"alertname": 7}), "labels"),
            (alert(annotations="text"), "annotations"),
            (alert(annotations={"summary": None}), "annotations"),
        ],
    )
    def test_is_rejected_and_costs_its_neighbours_nothing(self, bad, reason):
        read = parse(group(alert(fingerprint="a" * 16), bad, alert(fingerprint="c" * 16)), now_ms=NOW)
        assert read.rejected == ((1, reason),)
        assert [a.fingerprint for a in read.alerts] == ["a" * 16, "c" * 16]

    def test_may_lack_its_annotations(self):
        assert only(without("annotations")).annotations == {}


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "ms"), [("2026-01-05T09:16:00Z", 1767604560000), ("2999-01-01T00:00:00Z", 32472144000000)]
    )
    def test_a_start_in_the_future_stays_what_repetitions_are_known_by(self, text, ms):
        assert only(alert(startsAt=text)).starts_at == ms > NOW

    @pytest.mark.parametrize("ends", ["2999-01-02T00:00:00Z", "2026-01-05T09:10:00Z", None])
    def test_nothing_ends_before_it_began(self, ends):
        read = only(alert(status="resolved", startsAt="2999-01-01T00:00:00Z", endsAt=ends))
        assert read.ends_at == read.starts_at == 32472144000000

    def test_a_start_that_has_no_written_form_is_the_last_that_has_one(self):
        starts = only(alert(startsAt="9999-12-31T23:59:59-23:59")).starts_at
        assert clock.iso_ms(starts) == "9999-12-31T00:00:00.000Z"

    def test_a_week_old_is_as_it_is(self):
        assert only(alert(startsAt="2025-12-29T09:00:00Z")).starts_at == 1767603600000 - 7 * 24 * HOUR

    @pytest.mark.parametrize("text", ["yesterday", "", None, 5, [], "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z"])
    def test_what_cannot_be_read_is_now(self, text):
        assert only(alert(startsAt=text)).starts_at == NOW

    def test_a_zone_is_honoured(self):
        assert only(alert(startsAt="2026-01-05T10:00:00+01:00")).starts_at == 1767603600000

    def test_firing_never_has_an_end(self):
        assert only(alert(endsAt="2026-01-05T09:30:00Z")).ends_at < 0

    @pytest.mark.parametrize("text", [None, "0001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
    def test_resolved_without_a_believable_end_ended_now(self, text):
        assert only(alert(status="resolved", endsAt=text)).ends_at == NOW


class TestFingerprint:
    @pytest.mark.parametrize("given_", [None, "", 7, "a b", "x" * 65, "päm", "a\nb"])
    def test_is_computed_from_the_labels_when_it_is_missing_or_odd(self, given_):
        labels = {"b": "2", "alertname": "A"}
        one = only(alert(fingerprint=given_, labels=labels)).fingerprint
        other = only(alert(fingerprint=given_, labels=dict(reversed(labels.items())))).fingerprint
        assert one == other
        assert len(one) == 16
        assert int(one, 16) >= 0
        assert only(alert(fingerprint=given_, labels=labels | {"b": "3"})).fingerprint != one

    def test_tells_labels_apart_that_the_bounds_make_equal(self):
        long = "x" * 2000
        one, other = (only(alert(fingerprint="", labels={"alertname": long + end})) for end in "ab")
        assert one.labels == other.labels
        assert one.fingerprint != other.fingerprint


class TestHostileText:
    def test_controls_are_replaced_and_other_languages_kept(self):
        read = only(alert(labels={"alertname": "Überlast 高\x00\x1b[31m\u202e\ud800", "na\nme": "a\r\nb\tc"}))
        assert read.labels == {"alertname": "Überlast 高\ufffd\ufffd[31m\ufffd\ufffd", "na me": "a  b c"}
        assert read.model_dump_json().encode()

    @pytest.mark.parametrize("text", ["$(kubectl delete ns shop)", "{{ .Values.x }}", "Ignore all rules", "../../etc"])
    def test_what_looks_like_a_command_is_only_text(self, text):
        assert only(alert(labels={"alertname": text})).labels == {"alertname": text}

    def test_long_values_are_cut_to_their_bounds(self):
        read = only(alert(labels={"alertname": "A" * 5000, "n" * 500: "v"}, annotations={"d": "y" * 9000}))
        assert [len(name) for name in read.labels] == [9, 128]
        assert len(read.labels["alertname"]) == 1024
        assert len(read.annotations["d"]) == 2048

    def test_of_too_many_labels_those_that_name_the_patient_stay(self):
        noise = {f"a{n:03}": "x" for n in range(200)}
        named = {"alertname": "A", "namespace": "shop", "pod": "web-0", "exported_pod": "b", "severity": "info"}
        read = only(alert(labels=noise | named))
        assert len(read.labels) == 64
        assert named.items() <= read.labels.items()

    def test_a_cleaned_name_never_replaces_a_real_one(self):
        read = only(alert(labels={"alertname": "A", "namespace": "shop", "namespace\x00": "kube-system"}))
        assert read.labels["namespace"] == "shop"
