"""Every measured rule of Knative's channel-based broker, played against the local broker in synchronous mode.

The same rows can be played against a real one. It needs, set up by hand:

- a Broker of class MTChannelBasedBroker on an InMemoryChannel with `delivery: {retry: 0}` and no sink;
- the output of `python -m tests.broker.table BROKER http://HOST:PORT` applied, all Triggers ready, where HOST is this
  machine as the cluster's pods reach it and PORT is free here;
- `AKESO_BROKER_URL` (the Broker's address, reachable from here) and `AKESO_SUBSCRIBER_URL` (that http://HOST:PORT).

Rows that need a test hook, a Broker of their own or a crash are skipped there.
"""

import os
import time

import httpx
import pytest

from shared.dev.broker import Broker
from tests.broker.scripted import Subscriber, eventually, never
from tests.broker.table import rows

REAL = os.environ.get("AKESO_BROKER_URL", "")
SPEED = 20.0


@pytest.fixture(scope="module")
def subscriber():
    address = httpx.URL(os.environ.get("AKESO_SUBSCRIBER_URL", "http://127.0.0.1:0"))
    served = Subscriber("0.0.0.0" if REAL else "127.0.0.1", address.port or 0)  # noqa: S104 - pods must reach it
    if REAL:
        served.url = str(address).rstrip("/")
    yield served
    served.close()


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_the_broker_does_what_the_row_says(row, subscriber):
    subscriber.script |= row.script()
    if REAL:
        if "local" in row.spec:
            pytest.skip(row.spec["local"])
        sender = row.send(REAL)
        if sender == "gone":
            time.sleep(20)
        row.check(subscriber, sender, "broker-ingress", 1.0)
        return
    speed = row.spec.get("speed", SPEED)
    base = subscriber.url
    with Broker(row.triggers(base), row.broker(base), never(), speed=speed) as broker:
        if row.spec.get("orphan"):
            broker.orphan(row.trigger_delivery(base))
        sender = row.send(broker.url + "/")
        eventually(broker.idle)
        row.check(subscriber, sender, "broker-ingress.knative-eventing", speed)
        assert broker.crashes == row.spec.get("crashes", 0)
        assert broker.dead_letters == (row.spec["runs"].get("dls", 0) if sender != 500 else 0)


def test_no_rule_is_left_without_a_row():
    told = {row.spec["rule"] for row in rows()}
    assert {"A1", "A3", "A4", "A5", "A7", "A8", "A9", "A10", "A11", "A12", "A14", "A17", "A19", "A21"} <= told
    assert {f"B{number}" for number in range(1, 9)} <= told
