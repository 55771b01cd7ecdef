"""Between plan and run the world moves on: what was approved is written on exactly what it was approved for, or not."""

import pytest

pytestmark = pytest.mark.faults


@pytest.fixture
def approved(play):
    namespace, alert = play.ill()
    play.freeze_executor()
    play.fire(alert)
    return namespace, play.until_approved(namespace)


def scaled_by_a_person(play, namespace):
    play.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 2}})


def made_anew(play, namespace):
    play.cluster.delete("Deployment", namespace, "web")
    play.deployment(namespace)


def given_an_autoscaler(play, namespace):
    play.cluster.hpa(namespace, "web", "web")


def taken_over_by_git(play, namespace):
    labels = {"argocd.argoproj.io/instance": "shop"}
    play.cluster.edit("Deployment", namespace, "web", {"metadata": {"labels": labels}})


def opted_out(play, namespace):
    play.cluster.edit("Namespace", "", namespace, {"metadata": {"labels": {"akeso.dev/autonomy": "observe"}}})


def deleted(play, namespace):
    play.cluster.delete("Deployment", namespace, "web")


class TestATargetThatIsNotWhatWasPlannedFor:
    @pytest.mark.parametrize(
        "change", [scaled_by_a_person, made_anew, given_an_autoscaler, taken_over_by_git, opted_out, deleted]
    )
    def test_is_skipped(self, play, approved, change):
        namespace, incident = approved
        change(play, namespace)

        play.thaw()

        assert "skipped" in play.words(incident)
        assert "begun" not in play.words(incident)
        assert play.writes(namespace) == []

    def test_that_was_made_anew_is_planned_for_anew(self, play, approved):
        namespace, incident = approved
        made_anew(play, namespace)
        play.thaw()

        play.tick_for(180, lambda: "succeeded" in play.words(incident))

        first, second = (line["plan_hash"] for line in play.lines(incident, "approved"))
        assert first != second
        assert len(play.writes(namespace)) == 1

    def test_that_is_gone_is_told(self, play, approved):
        namespace, incident = approved
        deleted(play, namespace)
        play.thaw()

        play.tick_for(180, lambda: play.tickets(incident))

        assert "gone" in play.reasons(incident)


class TestSomebodyFasterThanTheWrite:
    def test_who_wrote_another_field_delays_it(self, play):
        namespace, alert = play.ill()
        play.just_before_its_write(
            lambda: play.cluster.edit("Deployment", namespace, "web", {"metadata": {"labels": {"team": "shop"}}})
        )

        play.fire(alert)
        incident = play.until_word("succeeded", namespace)

        assert play.replicas(namespace) == 3
        assert play.spec_changes(namespace) == 1
        assert [line["resolved_by"] for line in play.lines(incident, "succeeded")] == ["write"]

    def test_who_wrote_the_same_field_wins(self, play):
        namespace, alert = play.ill()
        play.just_before_its_write(lambda: scaled_by_a_person(play, namespace))

        play.fire(alert)
        incident = play.until_word("failed", namespace)

        assert play.replicas(namespace) == 2
        assert play.writes(namespace) == []
        assert "changed" in play.lines(incident, "failed")[0]["text"]

    def test_who_made_the_object_anew_wins(self, play):
        namespace, alert = play.ill()

        def anew():
            play.cluster.delete("Deployment", namespace, "web")
            play.cluster.deployment(namespace, "web", 1, annotations={"akeso.dev/minimum-replicas": "3"})

        play.just_before_its_write(anew)
        play.fire(alert)
        play.until_word("skipped", namespace)

        assert play.replicas(namespace) == 1
        assert play.writes(namespace) == []
