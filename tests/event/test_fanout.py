import threading

import pytest

from shared.errors import UnavailableError
from shared.event.fanout import post_all
from shared.event.sink import Sink
from tests.event.parts import KEY, an_event

SOON = 0.05
ENOUGH = 1.0  # for who does not wait, also on a busy machine


class Broker:
    """A sink whose posts wait until they are let go; `bad` ids are refused."""

    def __init__(self, *, bad=(), slow=()):
        self.bad, self.slow = set(bad), set(slow)
        self.gate = threading.Event()
        self.began = []
        self.ended = []

    def post(self, event):
        self.began.append(event.id)
        if event.id in self.slow:
            assert self.gate.wait(60)
        self.ended.append(event.id)
        if event.id in self.bad:
            raise UnavailableError("no", reason="broker")


class Marks:
    """What was said to be taken, and a way to wait for it."""

    def __init__(self):
        self.calls = []
        self._news = threading.Condition()

    def __call__(self, ids):
        with self._news:
            self.calls.append(ids)
            self._news.notify_all()

    def until(self, ids):
        with self._news:
            assert self._news.wait_for(lambda: {name for call in self.calls for name in call} >= set(ids), 60)


def events(*names):
    return [an_event(id=name) for name in names]


@pytest.fixture
def marks():
    return Marks()


class TestInTime:
    def test_all_are_posted_and_marked_in_one_call(self, marks):
        assert post_all(Broker(), events("a", "b", "c"), 10, marks) == {"a", "b", "c"}
        assert marks.calls == [["a", "b", "c"]]

    def test_nothing_to_post_marks_nothing(self, marks):
        assert post_all(Broker(), [], 10, marks) == set()
        assert marks.calls == []

    def test_a_refused_one_costs_no_neighbour(self, marks):
        assert post_all(Broker(bad={"b"}), events("a", "b", "c"), 10, marks) == {"a", "c"}
        assert marks.calls == [["a", "c"]]

    def test_when_all_are_refused_nothing_is_marked(self, marks):
        assert post_all(Broker(bad={"a"}), events("a"), 10, marks) == set()
        assert marks.calls == []

    def test_more_than_there_are_workers(self, marks):
        names = [f"e{number:03}" for number in range(300)]
        assert post_all(Broker(), events(*names), 10, marks) == set(names)
        assert marks.calls == [names]

    def test_posts_run_side_by_side(self, marks):
        together = threading.Barrier(4)

        class Meeting:
            def post(self, _):
                together.wait(60)

        assert len(post_all(Meeting(), events("a", "b", "c", "d"), 10, marks)) == 4


class TestLate:
    def test_are_not_waited_for_and_not_given_up(self, marks):
        broker = Broker(slow={"b"})
        assert post_all(broker, events("a", "b"), ENOUGH, marks) == {"a"}
        assert marks.calls == [["a"]]
        broker.gate.set()
        marks.until(["b"])
        assert marks.calls == [["a"], ["b"]]
        assert broker.ended == ["a", "b"]

    def test_and_refused_are_never_marked(self, marks):
        broker = Broker(slow={"b", "c"}, bad={"b"})
        post_all(broker, events("b", "c"), SOON, marks)
        broker.gate.set()
        marks.until(["c"])
        assert marks.calls == [["c"]]

    def test_that_have_not_even_begun_are_posted_still(self, marks):
        names = [f"e{number}" for number in range(40)]
        broker = Broker(slow=set(names))
        assert post_all(broker, events(*names), SOON, marks) == set()
        assert len(broker.began) < 40
        broker.gate.set()
        marks.until(names)
        assert sorted(broker.ended) == sorted(names)

    def test_are_marked_although_the_first_mark_failed(self):
        broker, marks = Broker(slow={"b"}), Marks()

        def failing(ids):
            marks(ids)
            raise UnavailableError("Redis is gone")

        with pytest.raises(UnavailableError):
            post_all(broker, events("a", "b"), ENOUGH, failing)
        broker.gate.set()
        marks.until(["a", "b"])
        assert marks.calls == [["a"], ["b"]]


class TestTwoCallers:
    def test_get_each_their_own(self):
        one, other, found = Marks(), Marks(), {}
        names = {"one": [f"a{n}" for n in range(50)], "other": [f"b{n}" for n in range(50)]}

        def work(key, marks):
            found[key] = post_all(Broker(), events(*names[key]), 10, marks)

        threads = [threading.Thread(target=work, args=pair) for pair in (("one", one), ("other", other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert found == {key: set(value) for key, value in names.items()}
        assert one.calls == [sorted(names["one"])]
        assert other.calls == [sorted(names["other"])]


class TestThroughARealSink:
    def test_a_broker_that_answers_late_has_taken_it(self, receiver, marks):
        receiver.gate.clear()
        assert post_all(Sink(receiver.url, KEY), events("a"), SOON, marks) == set()
        receiver.gate.set()
        marks.until(["a"])
