"""What Broker and Trigger manifests say about delivery, with Knative's defaults and its way of merging the two.

Read from the very manifests that go to a cluster. What Knative's webhook refuses is refused here, and so is what the
local broker does not have: a field that were ignored would behave differently in production.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.dev.broker_filters import Filter, compile_filters
from shared.errors import MalformedError
from shared.model.base import Model

M = TypeVar("M", bound=BaseModel)

_RETRIED: Final = frozenset({404, 408, 409, 429})
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def is_retried(status: int) -> bool:
    """Whether the dispatcher tries again after that status; 0 stands for no answer within the time."""
    return status == 0 or status >= 500 or status in _RETRIED  # noqa: PLR2004 - HTTP's own number


class Sink(Model):
    """Where events go: a service with a path, or (without a service) an absolute address in `uri`."""

    service: str = ""
    namespace: str = "default"
    uri: str = ""

    @property
    def address(self) -> str:
        """As Knative names it in `knativeerrordest`, wherever the function really listens."""
        return f"http://{self.service}.{self.namespace}.svc.cluster.local{self.uri}" if self.service else self.uri


class Delivery(Model):
    """Durations in seconds. Without `policy` or `delay_s` the dispatcher tries again at once."""

    retry: int = 0
    policy: Literal["", "linear", "exponential"] = ""
    delay_s: float = 0.0
    timeout_s: float | None = None
    dead_letters: Sink | None = None

    def wait_s(self, attempt: int) -> float:
        """Pause after that attempt, counted from 0. Linear starts at nothing, exponential at the delay."""
        if self.policy == "linear":
            return self.delay_s * attempt
        return self.delay_s * 2.0**attempt if self.policy == "exponential" else 0.0


class BrokerSpec(Model):
    name: str = "default"
    namespace: str = "default"
    delivery: Delivery = Delivery(retry=10, policy="exponential", delay_s=0.2)

    @property
    def address(self) -> str:
        """The ingress as Knative names it in `knativeerrordest`."""
        return f"http://broker-ingress.knative-eventing.svc.cluster.local/{self.namespace}/{self.name}"


class Trigger(Model):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    namespace: str = "default"
    accepts: Filter
    subscriber: Sink
    delivery: Delivery
    orphan: bool = False  # left in the channel after its Trigger is gone: the filter answers 404 to every event


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _Metadata(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str = "default"


class _Ref(_Manifest):
    api_version: str = ""
    kind: Literal["Service"]
    name: str
    namespace: str = ""


class _Destination(_Manifest):
    ref: _Ref | None = None
    uri: str = ""


class _Delivery(_Manifest):
    retry: int = Field(default=0, ge=0)
    backoff_policy: Literal["", "linear", "exponential"] = ""
    backoff_delay: str = ""
    timeout: str = ""
    dead_letter_sink: _Destination | None = None
    format: Literal["", "binary"] = ""


class _BrokerSpec(_Manifest):
    config: dict[str, Any] | None = None
    delivery: _Delivery | None = None


class _Broker(_Manifest):
    api_version: Literal["eventing.knative.dev/v1"]
    kind: Literal["Broker"]
    metadata: _Metadata
    spec: _BrokerSpec = _BrokerSpec()
    status: dict[str, Any] | None = None


class _TriggerSpec(_Manifest):
    broker: str
    filters: list[Any] | None = None
    filter: dict[str, Any] | None = None
    subscriber: _Destination
    delivery: _Delivery | None = None


class _Trigger(_Manifest):
    api_version: Literal["eventing.knative.dev/v1"]
    kind: Literal["Trigger"]
    metadata: _Metadata
    spec: _TriggerSpec
    status: dict[str, Any] | None = None


def read_broker(manifest: Mapping[str, Any] | None) -> BrokerSpec:
    """Only a Broker without any `delivery` gets the default of ten retries. Raises MalformedError."""
    if manifest is None:
        return BrokerSpec()
    broker = _valid(_Broker, manifest)
    spec = BrokerSpec(name=broker.metadata.name, namespace=broker.metadata.namespace)
    if broker.spec.delivery is None:
        return spec
    return spec.model_copy(update={"delivery": read_delivery(broker.spec.delivery, spec.namespace)})


def read_trigger(manifest: Mapping[str, Any], broker: BrokerSpec) -> Trigger:
    """Read one Trigger of that Broker. Raises MalformedError, which names the Trigger and the field."""
    trigger = _valid(_Trigger, manifest)
    name, spec = trigger.metadata.name, trigger.spec
    if spec.broker != broker.name:
        raise MalformedError(f"trigger {name}: spec.broker is {spec.broker}, this is {broker.name}", reason="manifest")
    subscriber = _sink(spec.subscriber, trigger.metadata.namespace)
    if subscriber is None:
        raise MalformedError(f"trigger {name}: spec.subscriber has neither ref nor uri", reason="manifest")
    return Trigger(
        name=name,
        namespace=trigger.metadata.namespace,
        accepts=compile_filters(spec.filters, spec.filter),
        subscriber=subscriber,
        delivery=merged(spec.delivery, broker, trigger.metadata.namespace),
    )


def merged(own: _Delivery | Mapping[str, Any] | None, broker: BrokerSpec, namespace: str) -> Delivery:
    """Replace the Broker's block by the Trigger's own; the dead-letter sink alone falls back to the Broker's."""
    if own is None:
        return broker.delivery
    block = own if isinstance(own, _Delivery) else _valid(_Delivery, own)
    delivery = read_delivery(block, namespace)
    if delivery.dead_letters is not None:
        return delivery
    return delivery.model_copy(update={"dead_letters": broker.delivery.dead_letters})


def read_delivery(block: _Delivery, namespace: str) -> Delivery:
    delayed = bool(block.backoff_policy and block.backoff_delay)
    return Delivery(
        retry=block.retry,
        policy=block.backoff_policy if delayed else "",
        delay_s=seconds(block.backoff_delay) if delayed else 0.0,
        timeout_s=seconds(block.timeout) if block.timeout else None,
        dead_letters=_sink(block.dead_letter_sink, namespace),
    )


def seconds(duration: str) -> float:
    """ISO 8601 such as `PT0.2S`. Raises MalformedError."""
    match = _DURATION.fullmatch(duration)
    parts = match.groups() if match else ()
    if not any(part is not None for part in parts):
        raise MalformedError(f"{duration!r} is no ISO 8601 duration such as PT0.2S", reason="manifest")
    return sum(float(part or 0) * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True))


def _sink(destination: _Destination | None, namespace: str) -> Sink | None:
    if destination is None or (destination.ref is None and not destination.uri):
        return None
    if destination.ref is not None:
        path = destination.uri
        if path and not path.startswith("/"):
            raise MalformedError(f"uri {path!r} beside a ref has to be a path", reason="manifest")
        return Sink(service=destination.ref.name, namespace=destination.ref.namespace or namespace, uri=path)
    if not destination.uri.startswith(("http://", "https://")):
        raise MalformedError(f"uri {destination.uri!r} without a ref has to be absolute", reason="manifest")
    return Sink(uri=destination.uri)


def _valid(model: type[M], manifest: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        metadata = manifest.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else "?"
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise MalformedError(f"{manifest.get('kind', 'manifest')} {name}: {wrong}", reason="manifest") from error
