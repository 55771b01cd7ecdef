import pytest

from shared.dev.delivery import is_retried, read_broker, read_trigger, seconds
from shared.dev.delivery import merged as merged_in
from shared.errors import MalformedError

SINK = {"ref": {"kind": "Service", "name": "deadletter"}, "uri": "/guard"}


def merged(own, broker):
    return merged_in(own, broker, "default")


def broker_of(delivery=None):
    spec = {} if delivery is None else {"delivery": delivery}
    manifest = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "default"}}
    return read_broker({**manifest, "spec": spec})


def test_only_a_broker_without_the_block_has_defaults():
    default = broker_of().delivery
    assert (default.retry, default.policy, default.delay_s) == (10, "exponential", 0.2)
    assert broker_of({"deadLetterSink": SINK}).delivery.retry == 0


def test_a_trigger_block_replaces_the_brokers_but_for_the_sink():
    full = {"retry": 5, "backoffPolicy": "linear", "backoffDelay": "PT1S", "timeout": "PT9S", "deadLetterSink": SINK}
    broker = broker_of(full)
    assert merged(None, broker) == broker.delivery
    own = merged({"retry": 1}, broker)
    assert (own.retry, own.policy, own.delay_s, own.timeout_s) == (1, "", 0.0, None)
    assert own.dead_letters == broker.delivery.dead_letters
    other = {"ref": {"kind": "Service", "name": "other", "namespace": "there"}}
    assert merged({"deadLetterSink": other}, broker).dead_letters.address == "http://other.there.svc.cluster.local"


def test_pauses():
    exponential = merged({"backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}, broker_of())
    assert [round(exponential.wait_s(n), 3) for n in range(4)] == [0.2, 0.4, 0.8, 1.6]
    linear = merged({"backoffPolicy": "linear", "backoffDelay": "PT0.5S"}, broker_of())
    assert [linear.wait_s(n) for n in range(3)] == [0.0, 0.5, 1.0]
    for half in ({"backoffPolicy": "exponential"}, {"backoffDelay": "PT1S"}):
        assert merged(half, broker_of()).wait_s(3) == 0.0


def test_which_statuses_are_retried():
    assert {status for status in range(100, 600) if is_retried(status)} == {404, 408, 409, 429, *range(500, 600)}
    assert is_retried(0)


def test_durations():
    assert [seconds(text) for text in ("PT0.2S", "PT1M30S", "PT2H", "P1D")] == [0.2, 90.0, 7200.0, 86400.0]
    for text in ("", "P", "PT", "1s", "PT-1S", "PT1"):
        with pytest.raises(MalformedError):
            seconds(text)


def test_addresses_are_those_of_the_cluster(trigger):
    read = read_trigger(trigger("guard", uri="/in"), broker_of())
    assert read.subscriber.address == "http://guard.akeso.svc.cluster.local/in"
    assert read.delivery.dead_letters.address == "http://dls.akeso.svc.cluster.local/"
    assert broker_of().address == "http://broker-ingress.knative-eventing.svc.cluster.local/default/default"


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("apiVersion",), "eventing.knative.dev/v1beta1", "apiVersion"),
        (("spec", "broker"), "other", "spec.broker"),
        (("spec", "subscriber"), {}, "subscriber"),
        (("spec", "subscriber"), {"uri": "/relative"}, "absolute"),
        (("spec", "subscriber", "ref", "kind"), "Deployment", "kind"),
        (("spec", "subscriber", "uri"), "relative", "path"),
        (("spec", "delivery", "retry"), -1, "retry"),
        (("spec", "delivery", "backoffPolicy"), "quadratic", "backoffPolicy"),
        (("spec", "delivery", "timeout"), "1s", "ISO 8601"),
        (("spec", "delivery", "retryAfterMax"), "PT1S", "retryAfterMax"),
        (("spec", "delivery", "format"), "json", "format"),
        (("spec", "unknown"), 1, "unknown"),
    ],
)
def test_a_manifest_that_knative_or_the_local_broker_would_not_honour_is_refused(trigger, path, value, word):
    manifest = trigger("f")
    part = manifest
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(MalformedError, match=word):
        read_trigger(manifest, broker_of())
