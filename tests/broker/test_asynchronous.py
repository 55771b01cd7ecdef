"""A durable broker: the sender has its answer at once, and what fails later concerns nobody but the sink."""

import threading

import pytest

from tests.broker.scripted import HTTP, event_headers, eventually


@pytest.fixture
def post():
    def send(broker, kind, timeout=60):
        return HTTP.post(broker.url, headers=event_headers(kind), content=b"{}", timeout=timeout).status_code

    return send


def test_the_sender_does_not_wait(serve, trigger, functions, post):
    answered = threading.Event()
    functions.script["/f/"] = [{"gate": answered, "reply": "g"}]
    broker = serve(trigger("f"), trigger("g"), sync=False)
    assert post(broker, "f") == 202
    assert not broker.idle()
    answered.set()
    eventually(broker.idle)
    assert len(functions.runs["/g/"]) == 1


def test_a_sender_that_hangs_up_ends_nothing(serve, trigger, functions, post):
    functions.script["/f/"] = [{"status": 503}, {"status": 204}]
    broker = serve(trigger("f", retry=1, backoffPolicy="exponential", backoffDelay="PT5S"), sync=False)
    post(broker, "f")
    eventually(broker.idle)
    assert len(functions.runs["/f/"]) == 2


def test_a_failed_hop_does_not_fail_the_one_before(serve, trigger, functions, post):
    functions.script |= {"/a/": [{"reply": "b"}], "/b/": [{"reply": "c"}], "/c/": [{"status": 500}]}
    broker = serve(*(trigger(name, retry=2, deadLetterSink=None) for name in "abc"), sync=False)
    assert post(broker, "a") == 202
    eventually(broker.idle)
    assert [len(functions.runs[f"/{name}/"]) for name in "abc"] == [1, 1, 3]
    assert (broker.failures, broker.dead_letters) == (1, 0)


def test_dead_letters_are_as_in_synchronous_mode(serve, trigger, functions, post):
    functions.script["/f/"] = [{"status": 400, "body": "no"}]
    broker = serve(trigger("f"), sync=False)
    post(broker, "f")
    eventually(broker.idle)
    dead = functions.runs["/dls/"][0].headers
    assert (dead["ce-knativeerrorcode"], dead["ce-knativeerrordata"]) == ("400", "bm8=")
    assert broker.dead_letters == 1


def test_a_loop_ends_by_its_time_to_live(serve, trigger, functions, post):
    functions.script["/f/"] = [{"reply": "f"}]
    broker = serve(trigger("f"), sync=False)
    post(broker, "f")
    eventually(lambda: broker.idle() and len(functions.runs["/f/"]) == 255)
    assert functions.runs["/dls/"][0].headers["ce-knativebrokerttl"] == "1"
