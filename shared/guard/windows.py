"""Times of a policy: when changes may be made, when they must not, when people are at their desks.

Redis knows no time zones, so what a person writes as wall-clock time is expanded here to ms intervals, some days ahead
and anew at every load. An hour that the clocks leave out or play twice must never make a freeze shorter. Nothing here
decides: whether a moment lies inside is for `admit` to say.
"""

import difflib
import functools
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from shared.model.base import Model

AHEAD_DAYS: Final = 8  # every weekly window occurs in it; past it `admit` refuses, so that a dead loader opens nothing
_MS: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: Final = get_args(Day)

Interval = tuple[int, int]  # ms, the end no longer inside


@functools.cache
def _zones() -> frozenset[str]:
    """Read from the disk once, without those that mean another zone on another machine."""
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "posixrules", "Factory"}


def _zone(name: str) -> str:
    if name == "UTC" or name in _zones():
        return name
    if not _zones():
        raise ValueError("this machine knows no time zones but UTC; install the Python package tzdata")
    nearest = difflib.get_close_matches(name, sorted(_zones()), n=1, cutoff=0.0)
    raise ValueError(f"unknown time zone {name[:80]!r}, did you mean {nearest[0]}?")


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time like 2026-12-24T18:00:00Z or, in the time zone, 2026-12-24T18:00") from None
    return text


Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Clock = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]
Moment = Annotated[str, StringConstraints(max_length=40), AfterValidator(_moment)]


class Hours(Model):
    """Some hours of some days of every week. An end before its begin lies on the next day."""

    model_config = ConfigDict(serialize_by_alias=True)

    days: tuple[Day, ...] | None = Field(
        default=None, min_length=1, max_length=7
    )  # those on which it begins; none: all
    from_: Clock = Field(default="00:00", alias="from")
    to: Clock = "24:00"
    timezone: Zone = "UTC"

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("from and to are the same; a whole day is from 00:00 to 24:00")
        if self.from_ == "24:00":
            raise ValueError("from 24:00 is 00:00 of the next day")
        return self

    @property
    def zone(self) -> tzinfo:
        return UTC if self.timezone == "UTC" else zoneinfo.ZoneInfo(self.timezone)


class Span(Hours):
    """Either hours of the week or one stretch between two moments."""

    start: Moment | None = None
    end: Moment | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        weekly = self.model_fields_set & {"days", "from_", "to"}
        if (self.start is None) != (self.end is None):
            raise ValueError("start and end belong together")
        if weekly and self.start is not None:
            raise ValueError("either days, from and to, or start and end")
        if not weekly and self.start is None:
            raise ValueError("says no time: give days, from and to, or start and end")
        if self.start is not None and self.end is not None and not _once(self, self.start, self.end, wide=True):
            raise ValueError("end is not after start")
        return self


def expand(span: Hours, now_ms: int, *, wide: bool) -> list[Interval]:
    """Intervals that are not over and begin within `AHEAD_DAYS`, merged and sorted.

    A wall-clock time can occur twice or never. `wide`, for what forbids, takes the earliest begin and the latest end
    that it can mean; else both are read in one way, so that what permits is never longer than was written.
    """
    if isinstance(span, Span) and span.start is not None and span.end is not None:
        found = _once(span, span.start, span.end, wide=wide)
    else:
        found = _weekly(span, now_ms, wide=wide)
    until = now_ms + AHEAD_DAYS * (_DAY // _MS)
    return merged((start, end) for start, end in found if end > now_ms and start < until)


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Join what overlaps or touches; drop what has no length."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _weekly(hours: Hours, now_ms: int, *, wide: bool) -> list[Interval]:
    today = (_EPOCH + now_ms * _MS).astimezone(hours.zone).date()
    found = []
    # One that began yesterday may still be on; another day's margin is for the changes of the clocks.
    for day in (today + n * _DAY for n in range(-2, AHEAD_DAYS + 2)):
        if hours.days is not None and _DAYS[day.weekday()] not in hours.days:
            continue
        begins, ends = _at(day, hours.from_), _at(day, hours.to)
        if ends < begins:
            ends += _DAY
        found.append(_meant(begins, ends, hours.zone, wide=wide))
    return merged(found)


def _once(span: Span, start: str, end: str, *, wide: bool) -> list[Interval]:
    return merged([_meant(datetime.fromisoformat(start), datetime.fromisoformat(end), span.zone, wide=wide)])


def _at(day: date, clock: str) -> datetime:
    hour, minute = clock.split(":")
    return datetime.combine(day, time()) + timedelta(hours=int(hour), minutes=int(minute))


def _meant(begins: datetime, ends: datetime, zone: tzinfo, *, wide: bool) -> Interval:
    first, last = _readings(begins, zone), _readings(ends, zone)
    return (min(first), max(last)) if wide else (first[0], last[0])


def _readings(moment: datetime, zone: tzinfo) -> tuple[int, int]:
    """The two moments which that time can mean; they differ only where the clocks are changed."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment.replace(fold=0) - _EPOCH) // _MS, (moment.replace(fold=1) - _EPOCH) // _MS
