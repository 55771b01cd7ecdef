"""The Kubernetes API says no, or nothing at all: the answer is clear, nothing is lost, nothing happens twice."""

import pytest

from tests.faults.stories import Crashing, Story

pytestmark = pytest.mark.faults

NEVER = None
STATUSES = [404, 409, 500, NEVER]
PATCH_TRIES = 3


def _end(play, story, seconds=2400):
    """Healed, or told; whatever it is, with one effect at most and every alert accounted for."""
    left = seconds
    story.next()
    while left > 0 and not (story.ended() or story.known):
        play.pass_(60)
        left -= 60
        story.next()
    assert left > 0, f"silence: {story.words}"
    assert story.written() <= 1
    assert play.counters()["alerts_received"] == play.counters()["alerts_accounted"]


class TestAtTriage:
    @pytest.mark.parametrize("status", STATUSES)
    def test_one_bad_answer_is_survived(self, play, status):
        story = Story(play)
        play.cluster.fault(kind="Deployment", verb="get", status=status)

        story.begin()
        _end(play, story)

        # what is not there is told; what cannot be read is read again
        assert bool(story.known) == (status == 404)

    @pytest.mark.parametrize("kind", ["Deployment", ""], ids=["of one kind", "of the whole API"])
    def test_a_long_outage_is_told(self, play, kind):
        story = Story(play)
        play.hurry_the_broker()
        play.cluster.fault(kind=kind, status=500, times=100_000)

        story.begin()
        _end(play, story)

        assert story.known
        assert play.writes(story.namespace) == []


class TestAtTheExecutor:
    @pytest.mark.parametrize("status", STATUSES)
    def test_before_it_begins_it_is_tried_again(self, play, status):
        story = Story(play)
        play.freeze_executor()
        story.begin_frozen()
        play.cluster.fault(kind="Deployment", verb="get", status=status)
        play.thaw()

        _end(play, story)

        assert story.ended()
        assert play.spec_changes(story.namespace) == 1

    @pytest.mark.parametrize("status", STATUSES)
    def test_at_the_dry_run_it_is_tried_again(self, play, status):
        story = Story(play)
        play.cluster.fault(kind="Deployment", verb="patch", status=status)

        story.begin()
        _end(play, story)

        assert story.ended()
        assert play.spec_changes(story.namespace) == 1

    @pytest.mark.parametrize("status", STATUSES)
    @pytest.mark.parametrize("applied", [False, True], ids=["refused", "applied"])
    def test_at_the_write_it_is_looked_at(self, play, status, applied):
        """The answer to the patch is lost or wrong, whether it was applied or not."""
        story = Story(play)
        play.order("before-write", "pause 60")
        story.begin_at("before-write")
        play.cluster.fault(kind="Deployment", verb="patch", status=status, applied=applied)
        play.go_on("before-write")
        play.settle_fast()

        _end(play, story)

        assert play.spec_changes(story.namespace) <= 1
        if applied:
            assert play.replicas(story.namespace) == 3
            assert [line["resolved_by"] for line in play.lines(story.incident, "succeeded")] == ["mark"]
        else:
            assert play.replicas(story.namespace) == 3

    def test_a_refusal_is_a_failure(self, play):
        story = Story(play)
        play.order("before-write", "pause 60")
        story.begin_at("before-write")
        play.cluster.fault(kind="Deployment", verb="patch", status=403)
        play.go_on("before-write")
        play.settle()

        _end(play, story)

        assert "refused by the API" in play.lines(story.incident, "failed")[0]["text"]
        assert play.writes(story.namespace) == []

    def test_conflicts_without_end_are_given_up(self, play):
        story = Story(play)
        play.order("before-write", "pause 60")
        story.begin_at("before-write")
        play.cluster.fault(kind="Deployment", verb="patch", status=409, times=PATCH_TRIES)
        play.go_on("before-write")
        play.settle()

        assert "failed" in story.words
        assert play.writes(story.namespace) == []
        _end(play, story)

    def test_a_write_without_an_answer_while_the_broker_gives_up(self, play):
        story = Story(play)
        play.order("before-write", "pause 60")
        story.begin_at("before-write")
        play.cluster.fault(kind="Deployment", verb="patch", status=500, applied=True)
        play.go_on("before-write")
        play.until(lambda: play.replicas(story.namespace) == 3)
        play.lose_everything_in_flight()

        _end(play, story)

        assert [line["resolved_by"] for line in play.lines(story.incident, "succeeded")] == ["mark"]
        assert play.spec_changes(story.namespace) == 1


class TestAnEviction:
    @pytest.mark.parametrize("status", [404, 409, 429, 500, NEVER])
    def test_that_did_not_happen_is_not_taken_for_one_that_did(self, play, status):
        """The mark goes before an eviction and alone proves nothing."""
        story = Crashing(play)
        play.order("before-write", "pause 60")
        story.begin_at("before-write")
        (pod,) = play.cluster.all("Pod", story.namespace)
        play.cluster.fault(kind="Pod", verb="evict", status=status)
        play.go_on("before-write")
        play.settle_fast()

        incident = story.incident
        ends = [line for line in play.audit(incident) if line["what"] in ("succeeded", "failed", "skipped")]
        here = [found["metadata"]["uid"] for found in play.cluster.all("Pod", story.namespace)]
        assert (pod["metadata"]["uid"] in here) == (ends[0]["what"] != "succeeded")

    def test_that_happened_without_an_answer_is_not_repeated(self, play):
        story = Crashing(play)
        play.order("before-write", "pause 60")
        story.begin_at("before-write")
        play.cluster.fault(kind="Pod", verb="evict", status=500, applied=True)
        play.go_on("before-write")
        play.settle_fast()

        # That it is gone is seen by its uid; the last word is that of the wait for its replacement.
        assert [line["resolved_by"] for line in play.lines(story.incident, "succeeded")] == ["look"]
        evicted = [r for r in play.cluster.requests if r.verb == "evict" and f"/{story.namespace}/" in r.path]
        assert len([r for r in evicted if not r.dry_run]) == 1


class TestAtTheVerifier:
    @pytest.mark.parametrize("status", STATUSES)
    def test_what_cannot_be_seen_is_never_success(self, play, status):
        story = Story(play)
        story.begin()
        play.until_word("succeeded", story.namespace)
        play.until(lambda: play.ready(story.namespace) == 3)
        play.settle()
        play.resolve(story.alert)
        play.settle()
        play.cluster.fault(kind="Deployment", verb="get", status=status, times=1000)

        play.pass_(61)
        play.pass_(61)

        assert "verified" not in story.words
        play.cluster._faults.clear()
        _end(play, story)
        assert play.replicas(story.namespace) == 3  # and no reason to undo
