"""What the sender's waiting means, beyond the rows of the table."""

import http.client
import threading

import pytest

from tests.broker.scripted import HTTP, event_headers, eventually


def post(broker, kind, timeout=30.0, **attributes):
    return HTTP.post(broker.url, headers=event_headers(kind, **attributes), content=b"{}", timeout=timeout).status_code


def in_background(*args):
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(post(*args)))
    thread.start()
    return thread, statuses


def test_the_sender_waits_for_all_subscribers_and_one_failure_is_its_500(serve, trigger, functions):
    slow = threading.Event()
    functions.script |= {"/slow/": [{"gate": slow}], "/bad/": [{"status": 400}]}
    both = [{"exact": {"type": "both"}}]
    broker = serve(trigger("slow", filters=both), trigger("bad", filters=both, deadLetterSink=None))
    sender, statuses = in_background(broker, "both")
    eventually(lambda: broker.failures)
    assert statuses == []
    slow.set()
    sender.join()
    assert statuses == [500]
    assert [record.subscriber for record in broker.log] == ["bad", "slow"]
    assert broker.failures == 1


def test_a_crash_loses_all_events_in_flight_and_none_after_it(serve, trigger, functions):
    crashed = threading.Event()
    functions.script |= {
        "/slow/": [{"gate": crashed, "reply": "next"}, {}],
        "/long/": [{"status": 400, "size": 769}, {}],
        "/busy/": [{"status": 500}],
    }
    never_again = {"retry": 3, "backoffPolicy": "exponential", "backoffDelay": "PT100S"}
    broker = serve(trigger("slow"), trigger("next"), trigger("long"), trigger("busy", **never_again))
    slow, slow_status = in_background(broker, "slow")
    busy, busy_status = in_background(broker, "busy")
    eventually(lambda: functions.runs["/slow/"] and functions.runs["/busy/"])
    assert post(broker, "long") == 500
    slow.join()
    busy.join()
    assert (slow_status, busy_status, broker.crashes) == ([500], [500], 1)
    eventually(broker.idle)
    crashed.set()
    eventually(lambda: functions.at_once == 0)
    assert not functions.runs["/next/"]
    assert not functions.runs["/dls/"]
    assert (post(broker, "slow"), post(broker, "long")) == (202, 202)


@pytest.mark.parametrize("depth", [3, 250])
def test_hanging_up_ends_a_chain_of_any_depth(serve, trigger, functions, depth):
    gone = threading.Event()
    functions.script["/f/"] = [{"reply": "f"}] * (depth - 1) + [{"gate": gone, "reply": "f"}]
    broker = serve(trigger("f"))
    connection = http.client.HTTPConnection(broker.url.removeprefix("http://"))
    connection.request("POST", "/", b"{}", event_headers("f"))
    eventually(lambda: len(functions.runs["/f/"]) == depth)
    connection.close()
    eventually(broker.idle)
    gone.set()
    eventually(lambda: functions.at_once == 0)
    assert (len(functions.runs["/f/"]), len(functions.runs["/dls/"])) == (depth, 0)


def test_a_timeout_covers_the_reply_hop_and_dead_letters_the_original_with_a_text(serve, trigger, functions):
    over = threading.Event()
    functions.script |= {"/a/": [{"reply": "b"}], "/b/": [{"gate": over}]}
    broker = serve(trigger("a", retry=0, timeout="PT5S"), trigger("b"))
    assert post(broker, "a") == 202
    over.set()
    dead = functions.runs["/dls/"][0].headers
    assert (dead["ce-type"], dead["ce-knativeerrorcode"]) == ("a", "500")
    assert "broker-ingress" in dead["ce-knativeerrordest"]


def test_an_endless_redirect_is_a_network_error(serve, trigger, functions):
    functions.script["/f/"] = [{"status": 307, "headers": {"location": "/f/"}}]
    broker = serve(trigger("f", retry=0))
    assert post(broker, "f") == 202
    assert functions.runs["/dls/"][0].headers["ce-knativeerrorcode"] == "500"
    assert len(functions.runs["/f/"]) == 10
