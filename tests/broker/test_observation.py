"""What `akeso dev` and the flow tests see and may do."""

import threading

import httpx
import pytest

from shared.errors import MalformedError, UnavailableError
from tests.broker.scripted import HTTP, event_headers, eventually


def post(broker, kind, **attributes):
    return HTTP.post(broker.url, headers=event_headers(kind, **attributes), content=b"{}", timeout=30).status_code


def test_each_attempt_is_a_record(serve, trigger, functions):
    functions.script |= {"/f/": [{"status": 500}, {"reply": "g"}], "/g/": [{"status": 400}]}
    broker = serve(trigger("f"), trigger("g"))
    post(broker, "f")
    told = [(r.type, r.subscriber, r.status, r.attempt, r.dead_lettered, r.reply_type) for r in broker.log]
    assert told == [
        ("f", "f", 500, 1, False, ""),
        ("f", "f", 200, 2, False, "g"),
        ("g", "g", 400, 1, False, ""),
        ("g", "dls", 204, 1, True, ""),
    ]
    assert (broker.log[0].id, broker.log[0].source, broker.log[2].id) == ("1", "/test", "1/r")


def test_the_observer_sees_each_accepted_event_and_cannot_break_the_broker(serve, trigger, functions):
    functions.script["/f/"] = [{"reply": "g"}]
    seen = []

    def observe(event):
        seen.append((event.type, event.data))
        raise ValueError("observer")

    broker = serve(trigger("f"), observer=observe)
    assert (post(broker, "f"), post(broker, "h"), post(broker, "")) == (202, 202, 400)
    eventually(lambda: len(seen) == 3)
    assert seen == [("f", b"{}"), ("g", b'{"n": 1}'), ("h", b"{}")]


def test_a_dropped_delivery_is_lost_once(serve, trigger, functions):
    broker = serve(trigger("f"))
    hook = broker.drop(lambda event: event.type == "f")
    assert (post(broker, "f"), hook.hits, len(functions.runs["/f/"])) == (202, 1, 0)
    assert broker.log[0].note == "dropped"
    assert (post(broker, "f"), hook.hits, len(functions.runs["/f/"])) == (202, 1, 1)


def test_a_duplicated_delivery_arrives_twice_once(serve, trigger, functions):
    broker = serve(trigger("f"))
    broker.duplicate(lambda event: event.id == "1")
    post(broker, "f")
    post(broker, "f")
    assert len(functions.runs["/f/"]) == 3


def test_a_trigger_can_be_disabled_and_pointed_elsewhere(serve, trigger, functions):
    broker = serve(trigger("f"), trigger("g"))
    broker.disable("f")
    assert (post(broker, "f"), len(functions.runs["/f/"])) == (202, 0)
    broker.enable("f")
    broker.point("f", f"{functions.url}/elsewhere")
    post(broker, "f")
    assert (len(functions.runs["/f/"]), len(functions.runs["/elsewhere"])) == (0, 1)
    broker.point("f", "http://127.0.0.1:9/")
    post(broker, "f")
    assert functions.runs["/dls/"][0].headers["ce-knativeerrordest"] == "http://127.0.0.1:9/"
    broker.point("f", None)
    post(broker, "f")
    assert len(functions.runs["/f/"]) == 1
    with pytest.raises(MalformedError):
        broker.disable("nobody")


def test_a_service_that_does_not_start_is_retried_and_dead_lettered(serve, trigger, functions):
    tries = []

    async def resolve(service):
        if service == "dls":
            return f"{functions.url}/dls"
        tries.append(service)
        raise UnavailableError("no such luck") if service == "f" else MalformedError("unknown")

    broker = serve(trigger("f"), trigger("g"), resolve=resolve)
    assert (post(broker, "f"), post(broker, "g")) == (202, 202)
    assert tries == ["f", "f", "g", "g"]
    codes = [run.headers["ce-knativeerrorcode"] for run in functions.runs["/dls/"]]
    assert codes == ["503", "500"]


def test_a_burst_waits_in_the_broker(serve, trigger, functions):
    sent = threading.Event()
    functions.script["/f/"] = [{"gate": sent}]
    told = []
    broker = serve(
        trigger("f"), sync=False, concurrency={"f": 3}, begin=lambda _: told.append(1), end=lambda _: told.pop()
    )
    for number in range(30):
        HTTP.post(broker.url, headers=event_headers("f", id=str(number)), content=b"{}")
    eventually(lambda: len(told) == 30)  # the queue counts as begun
    eventually(lambda: functions.at_once == 3)
    sent.set()
    eventually(broker.idle)
    assert (functions.most_at_once, len(functions.runs["/f/"]), told) == (3, 30, [])


def test_a_stopped_broker_lets_its_senders_go(serve, trigger, functions):
    functions.script["/f/"] = [{"status": 500}]
    broker = serve(trigger("f", backoffPolicy="exponential", backoffDelay="PT5000S"), sync=False)
    post(broker, "f")
    eventually(lambda: functions.runs["/f/"])
    broker.stop()
    assert broker.idle()
    with pytest.raises(httpx.ConnectError):
        post(broker, "f")
