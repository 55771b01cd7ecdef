"""A scope's history is bounded: what it may have forgotten within a check's span is taken for the worst."""

import pytest

from tests.state.checks import ACTION, remember
from tests.state.world import HOUR, MINUTE

KEPT = 16


def done(world, count, ago, apart=MINUTE, **more):
    """So many attempts, the oldest so long ago."""
    remember(world, *({"at": world.now - ago + number * apart, "a": "x", **more} for number in range(count)))


def touching(count):
    return {"touches": {"unit": "pod", "count": count, "population": 100, "pool": "", "pool_population": 0}}


CASES = [
    ("repeats", 6 * HOUR, {}),
    ("oscillation", 6 * HOUR, {"turn": "up"}),
    ("resource-changes", 2 * HOUR, {"resources": True}),
    ("blast-workload", 60 * MINUTE, touching(1)),
]


class TestAFullHistory:
    @pytest.fixture(autouse=True)
    def wide(self, world):
        """A workload's window as long as it may be, and repeats out of the way of the others."""
        world.policy(blast_minutes=60, oscillation_hours=6, repeats=3)

    @pytest.mark.parametrize(("check", "span", "asked"), CASES)
    def test_that_is_younger_than_the_span_refuses_until_its_oldest_has_left_it(self, world, check, span, asked):
        incident = world.opened()
        done(world, KEPT, span - MINUTE)
        if check != "repeats":  # which is known well enough
            remember(world, *({"at": world.now - 1, "a": ACTION, "v": "verified"} for _ in range(3)))
        answer = world.admit(incident, **asked)
        assert (answer["check"], answer["retry_at"]) == (check, world.now + MINUTE)
        assert answer["text"] == "more was done to it than is remembered"

    @pytest.mark.parametrize(("check", "span", "asked"), CASES)
    def test_that_reaches_further_back_hinders_nobody(self, world, check, span, asked):
        incident = world.opened()
        done(world, KEPT, max(span, 6 * HOUR))
        answer = world.admit(incident, dry=True, **asked)
        assert next(one["ok"] for one in answer["checks"] if one["check"] == check)

    @pytest.mark.parametrize(("check", "asked"), [(check, asked) for check, _, asked in CASES])
    def test_that_has_room_has_forgotten_nothing(self, world, check, asked):
        incident = world.opened()
        done(world, KEPT - 2, 30 * MINUTE)
        answer = world.admit(incident, dry=True, **asked)
        assert next(one["ok"] for one in answer["checks"] if one["check"] == check)

    def test_is_still_one_after_a_grant_was_given_back(self, world):
        incident = world.opened()
        remember(world, *({"at": world.now - 1, "a": ACTION, "v": "verified"} for _ in range(3)))
        done(world, KEPT - 3, HOUR)
        world.finish(world.granted(incident), "unused", run="")
        answer = world.admit(world.opened(family="two"), **touching(1))
        assert (answer["check"], answer["text"]) == ("blast-workload", "more was done to it than is remembered")
