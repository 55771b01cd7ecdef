"""Nobody can be told while the ticket system is down; afterwards everybody has been, once."""

import pytest

from tests.faults.stories import Story, Unknown, Untold

pytestmark = pytest.mark.faults


class TestTwoHoursWithoutTickets:
    def test_end_with_one_ticket_each_and_no_flood(self, play):
        play.world.desk.down()
        stories = [kind(play) for kind in (Untold, Unknown)]
        before = play.world.desk.posts
        for story in stories:
            story.begin()

        play.pass_(7200, step=120)

        assert all(story.known == [] for story in stories)
        tried = play.world.desk.posts - before
        assert 4 <= tried <= 2 * 25

        play.world.desk.up()
        play.tick_for(1900, lambda: all(story.known for story in stories))
        play.settle()
        assert [len(story.known) for story in stories] == [1, 1]
        done = play.world.desk.posts
        play.pass_(3600, step=600)
        assert play.world.desk.posts == done
        assert [len(play.lines(story.incident, "told")) for story in stories] == [1, 1]

    def test_lose_no_reason(self, play):
        play.world.desk.down()
        story = Untold(play)
        story.begin()
        play.state.put(play.cause("more"), untold={"incident": story.incident, "reason": "and another thing", "at": 0})
        play.pass_(300)

        play.world.desk.up()
        play.tick_for(1900, lambda: "and another thing" in str(story.known) and "warn the intruder" in str(story.known))

        assert len(story.known) == 1

    def test_do_not_keep_others_from_being_healed(self, play):
        play.world.desk.down()
        told, healed = Untold(play), Story(play)
        told.begin()
        healed.begin()

        play.tick_for(180, lambda: play.replicas(healed.namespace) == 3)

        assert told.known == []


class TestATicketThatIsGone:
    def test_is_opened_anew(self, play):
        story = Untold(play)
        story.begin()
        play.until_told(story.incident)
        reference = story.known[0]["reference"]
        del play.world.desk._tickets[reference]

        play.state.put(play.cause("more"), untold={"incident": story.incident, "reason": "once more", "at": 0})
        play.tick_for(300, lambda: story.known)

        assert "once more" in str(story.known)
        assert story.known[0]["reference"] != reference
