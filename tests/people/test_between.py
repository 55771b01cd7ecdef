"""What changes between the guard's word and the write: the executor looks once more, and keeps its hands off."""

import pytest

MARK = {"metadata": {"annotations": {"akeso.dev/protected": "yes"}}}
BY = {"reason": "looks right", "by": "ada"}


class TestAGrantOvertaken:
    def overtaken(self, world, monkeypatch, change):
        """The outcome of a remedy before whose begin the world becomes another."""
        from functions.executor import main as executor

        execute = executor.execute

        def later(event, data, here):
            change()
            return execute(event, data, here)

        monkeypatch.setattr(executor, "execute", later)
        world.checkout()
        emit = world.drive(world.alert())[-1]
        return emit.type, getattr(emit.data, "text", "")

    def test_by_nothing_is_carried_out(self, world, monkeypatch):
        assert self.overtaken(world, monkeypatch, lambda: None)[0] == "remediation.succeeded"

    @pytest.mark.parametrize("place", [("Deployment", "shop", "checkout"), ("Namespace", "", "shop")])
    def test_by_the_mark_that_protects_writes_nothing(self, world, monkeypatch, place):
        said = self.overtaken(world, monkeypatch, lambda: world.cluster.edit(*place, MARK))
        assert said == ("remediation.skipped", "it, or its namespace, is marked akeso.dev/protected now")
        assert world.replicas() == 1

    @pytest.mark.parametrize("word", ["off", "observe", "suggest", "approve"])
    def test_by_a_label_that_was_lowered_writes_nothing(self, world, monkeypatch, word):
        said = self.overtaken(world, monkeypatch, lambda: world.autonomy(word))
        assert said == ("remediation.skipped", f"autonomy is {word} now")
        assert world.replicas() == 1

    def test_under_the_label_approve_is_carried_out_with_a_yes(self, world):
        world.autonomy("approve")
        hold = world.heal()
        world.ok("POST", f"v1/holds/{hold}/approve", {"reason": "looks right"})
        assert world.drive(world.sink.events[0])[-1].type == "remediation.succeeded"


class TestAnUndo:
    @pytest.fixture
    def attempt(self, world):
        return world.ok("GET", f"v1/incidents/{world.heal()}")["attempts"][0]["id"]

    def mark(self, world):
        world.cluster.edit("Deployment", "shop", "checkout", MARK)

    def ask(self, world, attempt):
        world.ok("POST", "v1/undo", {"attempt": attempt, **BY})
        return world.sink.events[0]

    def test_of_what_is_marked_is_refused_by_the_guard(self, world, attempt):
        self.mark(world)
        emit = world.drive(self.ask(world, attempt))[-1]
        assert (emit.type, emit.data.check) == ("remediation.denied", "protected")
        assert world.replicas() == 3

    def test_of_what_was_marked_since_is_left_alone_by_the_executor(self, world, attempt):
        event = self.ask(world, attempt)
        self.mark(world)
        assert world.drive(event)[-1].type == "remediation.skipped"
        assert world.replicas() == 3
