import pytest

from shared.dev.broker import Broker
from tests.broker.scripted import Subscriber

API = "eventing.knative.dev/v1"


@pytest.fixture
def functions():
    """Every service is a path of one scripted subscriber: service `f` answers at `/f`."""
    served = Subscriber()
    yield served
    served.close()


@pytest.fixture
def trigger():
    """Make a Trigger for events of type `f` to service `f`."""

    def make(name, *, uri="/", filters=None, **delivery):
        block = {"retry": 1, "deadLetterSink": {"ref": {"kind": "Service", "name": "dls"}, "uri": "/"}, **delivery}
        subscriber = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name}, "uri": uri}
        return {
            "apiVersion": API,
            "kind": "Trigger",
            "metadata": {"name": name, "namespace": "akeso"},
            "spec": {
                "broker": "default",
                "filters": [{"exact": {"type": name}}] if filters is None else filters,
                "subscriber": subscriber,
                "delivery": {key: value for key, value in block.items() if value is not None},
            },
        }

    return make


@pytest.fixture
def serve(functions):
    """Start brokers whose services are paths of `functions`; they are stopped at the end."""
    brokers = []

    async def resolve(service):
        return f"{functions.url}/{service}"

    def start(*triggers, **options):
        options = {"resolve": resolve, "speed": 50.0, **options}
        brokers.append(Broker(triggers, options.pop("broker", None), **options).start())
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.stop()
