"""Whatever the broker loses, wherever it leads nowhere: it is carried on, or a person is told where it is stuck."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.dev.world import CLUSTER, TENANT
from shared.event.types import TYPES, full, short
from tests.faults.stories import STORIES, Approved, Crashing, Protected, Story, Untold

pytestmark = pytest.mark.faults

LIMIT_S = 45 * 60  # after so long there is an end, or a person knows

# A story that needs the trigger.
TRIGGERS = {
    "triage": Story,
    "router": Story,
    "guard": Story,
    "executor-scale-deployment": Story,
    "executor-restart-pod": Crashing,
    "executor-notify-only": Untold,
    "verifier": Story,
    "escalate": Protected,
}
STUCK = {
    "triage": "stuck at intake",
    "router": "stuck at router",
    "guard": "stuck at guard",
    "executor-scale-deployment": "begin",
    "executor-restart-pod": "begin",
    "executor-notify-only": "begin",
    "verifier": "stuck at soak",
    "escalate": "protected",
}


def until_its_end(play, story, *, or_stuck=False):
    """Until it has ended as it should or, where that will do, people know that it does not go on."""
    left = LIMIT_S
    story.next()
    while left > 0 and not (story.ended() or (or_stuck and story.stuck())):
        play.pass_(60)
        left -= 60
        story.next()
    assert left > 0, f"silence: {story.words}, {story.known}"


def test_each_type_that_somebody_waits_for_has_a_story():
    assert {short(name) for name, known in TYPES.items() if known.subscriber} == set(STORIES)


class TestAnEventThatIsLostOnce:
    @pytest.mark.parametrize("kind", STORIES)
    def test_only_delays(self, play, kind):
        story = STORIES[kind](play)
        lost = play.world.broker.drop(lambda event: event.type == full(kind))

        story.begin()
        until_its_end(play, story, or_stuck=True)

        assert lost.hits == 1
        assert len(story.known) <= 1
        assert story.written() <= story.effects


class TestATriggerThatLeadsNowhere:
    def test_has_a_story_each(self, play):
        known = {trigger.name for trigger in play.world.broker._triggers}

        assert set(TRIGGERS) == set(STUCK)
        assert set(TRIGGERS) <= known
        # Executors differ by their action and account alone: some of them stand for all.
        assert {name for name in known - set(TRIGGERS) if not name.startswith("executor-")} == set()

    @pytest.mark.parametrize("trigger", [name for name in TRIGGERS if name != "escalate"])
    @pytest.mark.parametrize("way", ["removed", "dead"])
    def test_is_told_by_its_name(self, play, trigger, way):
        if way == "removed":
            play.world.broker.disable(trigger)
        else:
            play.lead_nowhere(trigger)
        story = TRIGGERS[trigger](play)

        story.begin()
        until_its_end(play, story, or_stuck=True)

        said = str([ticket["history"] for ticket in story.known])
        assert STUCK[trigger] in said or f"could not be delivered to {trigger.partition('-')[0]}" in said
        assert len(story.known) <= 2  # the alert's own, if it never came to an incident

    @pytest.mark.parametrize("way", ["removed", "dead"])
    def test_does_not_keep_people_from_being_told(self, play, way):
        if way == "removed":
            play.world.broker.disable("escalate")
        else:
            play.lead_nowhere("escalate")
        story = Protected(play)

        story.begin()
        until_its_end(play, story)

        assert len(story.known) == 1
        assert story.known[0]["status"] == "closed"

    @pytest.mark.parametrize(
        ("trigger", "why"), [("guard", "stuck at guard"), ("executor-notify-only", "nobody began it in time")]
    )
    def test_is_told_even_if_its_telling_is_lost_too(self, play, trigger, why):
        play.world.broker.disable(trigger)
        lost = play.world.broker.drop(lambda event: event.type == full("escalation.requested"))
        story = TRIGGERS[trigger](play)

        story.begin()
        play.tick_for(900, lambda: story.known)

        assert lost.hits == 1
        assert why in str(story.known)


class TestATriggerThatComesBack:
    @pytest.mark.parametrize("trigger", ["router", "guard", "verifier"])
    def test_is_used_again_by_the_next_look(self, play, trigger):
        play.world.broker.disable(trigger)
        story = Story(play)
        story.begin()
        until_its_end(play, story, or_stuck=True)
        play.world.broker.enable(trigger)

        for _ in range(8):
            play.pass_(900, step=900)
            story.next()

        assert play.replicas(story.namespace) == 3


class TestAnEventThatComesTwice:
    @pytest.mark.parametrize("kind", STORIES)
    def test_counts_once(self, play, kind):
        story = STORIES[kind](play)
        doubled = play.world.broker.duplicate(lambda event: event.type == full(kind), times=1000)

        story.begin()
        until_its_end(play, story)

        assert doubled.hits >= 1
        assert len(story.known) == story.tickets
        assert story.written() == story.effects

    @pytest.mark.parametrize("story", [Story, Approved, Crashing])
    def test_counts_once_even_if_all_do(self, play, story):
        told = story(play)
        play.world.broker.duplicate(lambda _: True, times=100_000)

        told.begin()
        until_its_end(play, told)

        assert len(play.attempts(told.incident)) == 1
        assert told.words.count("opened") == told.words.count("approved") == 1
        begun = [line["step"] for line in play.lines(told.incident, "begun")]
        assert begun == list(range(len(begun)))  # each step once, in its order
        assert told.words.count("succeeded") == told.words.count("verified") == 1
        assert len(told.known) == told.tickets


class TestAnAlertThatComesOften:
    def test_from_two_peers_three_times_each_is_one(self, play):
        namespace, alert = play.ill()
        received = play.counters()["alerts_received"]

        with ThreadPoolExecutor(2) as peers:
            answers = set(peers.map(lambda _: play.fire(alert), range(6)))
        play.settle()

        assert answers <= {200, 503}  # 503: the other one is posting it, come again
        assert play.fire(alert) == 200
        incident = play.until_word("succeeded", namespace)
        assert play.counters()["alerts_received"] == received + 1
        assert play.words(incident).count("opened") == 1
        assert len(play.attempts(incident)) == 1
        assert play.spec_changes(namespace) == 1


class TestADueEntryThatCannotBePublished:
    @pytest.mark.parametrize("kind", ["revert", "soak", "attempt"])
    def test_costs_its_neighbours_nothing_and_is_told(self, play, kind):
        """As a version before, or a hand, may have left it."""
        entry = {"kind": kind, "ref": f"bad{play.number}", "tenant": TENANT, "cluster": CLUSTER, "pubs": 0, "token": 1}
        member = f"{kind}|{TENANT}|{CLUSTER}|{entry['ref']}"
        play.redis.hset("{akeso}:due:entries", member, json.dumps(entry | {"at": 0}))
        play.redis.zadd("{akeso}:due", {member: 0})
        story = Untold(play)

        story.begin()
        play.tick_for(120, lambda: story.known)
        play.tick_for(900, lambda: f"stuck at {kind}" in str(play.tickets(f"{kind}-{entry['ref']}")))

        assert play.due(kind) == []
