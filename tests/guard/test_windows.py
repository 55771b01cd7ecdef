import datetime as dt
import itertools
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import clock
from shared.errors import MalformedError
from shared.guard.policy import Window
from shared.guard.policy_read import read
from shared.guard.windows import AHEAD_DAYS, Hours, expand, merged

HOUR = 3_600_000
DAY = 24 * HOUR
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


def ms(text: str) -> int:
    return clock.parse_ms(text)


def window(kind="maintenance", **more):
    return Window.model_validate({"name": "w", "kind": kind, **more})


def told(intervals) -> list[tuple[str, str]]:
    return [(clock.iso(start), clock.iso(end)) for start, end in intervals]


def refused(text: str) -> str:
    with pytest.raises(MalformedError) as caught:
        read(text)
    return str(caught.value)


class TestHoursOfTheWeek:
    def test_are_read_in_their_time_zone(self):
        hours = Hours.model_validate({"days": ["mon"], "from": "09:00", "to": "17:00", "timezone": "Europe/Berlin"})

        assert told(expand(hours, ms("2026-11-26T12:00:00Z"), wide=False)) == [
            ("2026-11-30T08:00:00Z", "2026-11-30T16:00:00Z")
        ]

    def test_cross_midnight_from_the_day_on_which_they_begin(self):
        night = window(days=["fri"], **{"from": "22:00", "to": "06:00"})

        assert told(expand(night, ms("2026-11-26T12:00:00Z"), wide=False)) == [
            ("2026-11-27T22:00:00Z", "2026-11-28T06:00:00Z")
        ]

    def test_that_began_yesterday_are_still_on(self):
        night = window(days=["wed"], **{"from": "22:00", "to": "06:00"})

        found = expand(night, ms("2026-11-26T05:59:00Z"), wide=False)

        assert told(found)[0] == ("2026-11-25T22:00:00Z", "2026-11-26T06:00:00Z")

    def test_that_end_now_are_over(self):
        night = window(days=["wed"], **{"from": "22:00", "to": "06:00"})

        assert told(expand(night, ms("2026-11-26T06:00:00Z"), wide=False))[0][0] == "2026-12-02T22:00:00Z"

    def test_of_days_that_touch_are_one(self):
        weekend = window("freeze", days=["sat", "sun"])

        assert told(expand(weekend, ms("2026-11-26T12:00:00Z"), wide=True)) == [
            ("2026-11-28T00:00:00Z", "2026-11-30T00:00:00Z")
        ]

    def test_of_every_day_have_no_gap(self):
        always = window("freeze", **{"from": "00:00", "to": "24:00", "timezone": "Europe/Berlin"})
        now = ms("2026-10-20T12:00:00Z")

        ((start, end),) = expand(always, now, wide=True)

        assert start <= now
        assert end >= now + AHEAD_DAYS * DAY


class TestAChangeOfTheClocks:
    """Berlin: 02:00 to 03:00 is missing on 29 March 2026 and occurs twice on 25 October 2026."""

    SPRING = ms("2026-03-29T00:00:00Z") - 2 * HOUR
    AUTUMN = ms("2026-10-25T00:00:00Z") - 4 * HOUR

    def first(self, kind, start, end, now):
        made = window(kind, **{"from": start, "to": end, "timezone": "Europe/Berlin"})
        return told(expand(made, now, wide=kind == "freeze"))[0]

    def test_a_night_with_a_missing_hour_is_an_hour_shorter(self):
        assert self.first("maintenance", "22:00", "06:00", self.SPRING) == (
            "2026-03-28T21:00:00Z",
            "2026-03-29T04:00:00Z",
        )

    def test_a_night_with_an_hour_twice_is_an_hour_longer(self):
        assert self.first("maintenance", "22:00", "06:00", self.AUTUMN) == (
            "2026-10-24T20:00:00Z",
            "2026-10-25T05:00:00Z",
        )

    def test_a_freeze_lasts_through_both_of_the_hours_that_occur_twice(self):
        assert self.first("freeze", "02:00", "02:30", self.AUTUMN) == ("2026-10-25T00:00:00Z", "2026-10-25T01:30:00Z")

    def test_a_maintenance_window_ends_in_the_first_of_them(self):
        assert self.first("maintenance", "02:00", "02:30", self.AUTUMN) == (
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
        )

    def test_a_window_in_the_missing_hour_keeps_its_length(self):
        assert self.first("maintenance", "02:15", "02:45", self.SPRING) == (
            "2026-03-29T01:15:00Z",
            "2026-03-29T01:45:00Z",
        )

    def test_a_freeze_that_begins_in_the_missing_hour_begins_before_it(self):
        assert self.first("freeze", "02:30", "05:00", self.SPRING) == ("2026-03-29T00:30:00Z", "2026-03-29T03:00:00Z")

    def test_absolute_times_in_a_time_zone_follow_the_same_rule(self):
        times = {"start": "2026-10-25T02:00", "end": "2026-10-25T02:30", "timezone": "Europe/Berlin"}

        assert told(expand(window(**times), self.AUTUMN, wide=False)) == [
            ("2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z")
        ]
        assert told(expand(window("freeze", **times), self.AUTUMN, wide=True)) == [
            ("2026-10-25T00:00:00Z", "2026-10-25T01:30:00Z")
        ]


class TestOneStretch:
    def test_is_kept_whole_however_far_it_reaches(self):
        freeze = window("freeze", start="2026-11-20T00:00:00Z", end="2027-01-05T00:00:00+01:00")

        assert told(expand(freeze, ms("2026-11-26T12:00:00Z"), wide=True)) == [
            ("2026-11-20T00:00:00Z", "2027-01-04T23:00:00Z")
        ]

    @pytest.mark.parametrize("now", ["2026-12-26T00:00:00Z", "2026-12-01T00:00:00Z"])
    def test_that_is_over_or_far_away_is_none_now(self, now):
        freeze = window("freeze", start="2026-12-24T00:00:00Z", end="2026-12-26T00:00:00Z")

        assert expand(freeze, ms(now), wide=True) == []


class TestAnyMoment:
    """Against the definition: a moment is inside when the wall clock there shows a time in the window."""

    minutes = st.integers(0, 24 * 60 - 1)
    moments = st.integers(ms("2026-01-01T00:00:00Z"), ms("2028-01-01T00:00:00Z"))

    @given(moments, st.sampled_from(ZONES), minutes, minutes, st.integers(0, AHEAD_DAYS * 24 * 4 - 1))
    def test_a_freeze_holds_whenever_the_wall_clock_says_so(self, now, zone, begins, ends, quarters):
        if begins == ends:
            return
        made = window("freeze", **{"from": _clock(begins), "to": _clock(ends), "timezone": zone})
        moment = now + quarters * HOUR // 4
        wall = dt.datetime.fromtimestamp(moment / 1000, zoneinfo.ZoneInfo(zone))
        shown = wall.hour * 60 + wall.minute
        meant = begins <= shown < ends if begins < ends else shown >= begins or shown < ends

        inside = any(start <= moment < end for start, end in expand(made, now, wide=True))

        assert inside or not meant

    @given(moments, st.sampled_from(ZONES), minutes, minutes)
    def test_what_permits_is_never_longer_than_what_forbids(self, now, zone, begins, ends):
        if begins == ends:
            return
        made = window(**{"from": _clock(begins), "to": _clock(ends), "timezone": zone})

        wide = expand(made, now, wide=True)

        assert all(any(s <= start and end <= e for s, e in wide) for start, end in expand(made, now, wide=False))

    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))))
    def test_joined_intervals_hold_the_same_moments_in_order(self, intervals):
        joined = merged(intervals)

        for moment in range(51):
            assert any(s <= moment < e for s, e in joined) == any(s <= moment < e for s, e in intervals)
        assert all(left[1] < right[0] for left, right in itertools.pairwise(joined))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("zone", "nearest"),
        [("Europe/Berlinn", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("America", "America/")],
    )
    def test_an_unknown_time_zone_with_the_nearest_known_one(self, zone, nearest):
        said = refused(f"working_hours: {{days: [mon], timezone: {zone}}}")

        assert f"unknown time zone '{zone}'" in said
        assert f"did you mean {nearest}" in said

    @pytest.mark.parametrize("zone", ["../../etc/passwd", "/etc/localtime", "localtime", "''", "'\\0'", "x" * 5000])
    def test_a_time_zone_that_is_a_path_or_differs_by_machine(self, zone):
        assert "working_hours.timezone" in refused(f"working_hours: {{days: [mon], timezone: {zone}}}")

    @pytest.mark.parametrize(
        ("times", "why"),
        [
            ("", "says no time"),
            ("timezone: UTC", "says no time"),
            ("from: 10:00, to: 10:00", "the same"),
            ("from: 24:00, to: 02:00", "00:00 of the next day"),
            ("from: 25:00", "from: must be a time of day"),
            ("to: 24:01", "to: must be a time of day"),
            ("from: 9:00", "from: must be a time of day"),
            ("from: 900", "from: Input should be a valid string"),
            ("days: []", "at least 1 item"),
            ("days: [monday]", "'mon'"),
            ("days: mon", "must be a list"),
            ("start: 2026-12-24T00:00:00Z", "belong together"),
            ("start: 2026-12-24T00:00:00Z, end: 2026-12-24T00:00:00Z", "not after start"),
            ("start: 2026-12-24T01:00:00+01:00, end: 2026-12-24T00:00:00Z", "not after start"),
            ("start: 2026-12-24, end: never", "must be a time like"),
            ("start: 2026-12-24, end: 2026-12-25, days: [mon]", "either"),
            ("start: 9999-12-31T23:59-14:00, end: 0001-01-01T00:00+14:00", "not after start"),
        ],
    )
    def test_times_that_say_nothing_or_two_things(self, times, why):
        assert why in refused(f"windows: [{{name: w, kind: freeze, {times}}}]")

    def test_a_wild_far_end_is_a_long_freeze(self):
        policy = read("windows: [{name: w, kind: freeze, start: 0001-01-01T00:00+14:00, end: 9999-12-31T23:59-14:00}]")

        ((start, end),) = expand(policy.windows[0], ms("2026-12-01T00:00:00Z"), wide=True)

        assert start < 0
        assert end > ms("2999-01-01T00:00:00Z")
