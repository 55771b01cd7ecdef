"""Places where an incident, an alert or a person's word could have been left without anybody to carry it on."""

MINUTE = 60_000


class TestAnAlertWhoseEndCameFirst:
    def test_is_news_when_it_fires_anew_with_its_old_start(self, world, sim):
        starts = world.now
        world.resolve("aa", starts=starts)
        assert world.fire("aa", starts=starts, ledger="first")["result"] == "tombstoned"
        world.take(taken=["first"])
        assert world.take("first") == ["taken"]

        sim.advance(20 * MINUTE)

        assert world.take("first") == ["post"]
        world.take(taken=["first"])
        again = world.fire("aa", starts=starts, ledger="first", again=1, twin="none")
        assert again["result"] == "triage"


class TestASecondRunBesideAPersonsRun:
    def test_is_told_and_not_swallowed(self, world):
        world.person_runs()

        second = world.person_runs()

        assert second["result"] == "told"
        assert any("under way" in reason for reason in world.told(second["incident"]))


class TestAYesThatNobodyCarriesOn:
    def test_frees_the_incident_when_it_is_stuck(self, world, sim):
        incident = world.opened()
        held = world.admit(incident, autonomy="approve")
        assert world.answer("approve", incident, held["hold"])["done"]

        for _ in range(6):
            world.claim()
            sim.advance(5 * MINUTE)

        assert world.incident(incident)["hold"] == ""
        sim.advance(60 * MINUTE)
        assert world.request(incident, look=True)["result"] == "triage"


class TestALongReason:
    def test_is_cut_where_an_event_can_hold_it_and_a_character_ends(self, world):
        incident = world.opened()
        grant = world.begun(incident)

        world.finish(grant, "unknown", text="ä" * 400)

        (reason,) = world.told(incident)
        assert len(reason.encode()) <= 500
        assert "�" not in reason
