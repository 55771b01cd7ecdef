"""What a test may do to deliveries: lose, double, misdirect or disable. In production nothing does it on purpose."""

from collections.abc import Callable

from shared.dev.broker_event import Event
from shared.dev.delivery import Sink

Predicate = Callable[[Event], bool]


class Hook:
    """Acts on the first `times` deliveries that match. `hits` counts those that it has had."""

    def __init__(self, predicate: Predicate, times: int) -> None:
        self._predicate, self._times = predicate, times
        self.hits = 0

    def takes(self, event: Event) -> bool:
        if self.hits >= self._times or not self._predicate(event):
            return False
        self.hits += 1
        return True


class Hooks:
    """Set from the test's thread, read in the broker's: each change is one step of the interpreter."""

    def __init__(self) -> None:
        self._drops: list[Hook] = []
        self._doubles: list[Hook] = []
        self._disabled: set[str] = set()
        self._pointed: dict[str, Sink] = {}

    def drop(self, predicate: Predicate, times: int) -> Hook:
        self._drops.append(Hook(predicate, times))
        return self._drops[-1]

    def duplicate(self, predicate: Predicate, times: int) -> Hook:
        self._doubles.append(Hook(predicate, times))
        return self._doubles[-1]

    def disable(self, trigger: str) -> None:
        self._disabled.add(trigger)

    def enable(self, trigger: str) -> None:
        self._disabled.discard(trigger)

    def point(self, trigger: str, url: str | None) -> None:
        if url is None:
            self._pointed.pop(trigger, None)
        else:
            self._pointed[trigger] = Sink(uri=url)

    def dropped(self, event: Event) -> bool:
        return any(hook.takes(event) for hook in self._drops)

    def duplicated(self, event: Event) -> bool:
        return any(hook.takes(event) for hook in self._doubles)

    def disabled(self, trigger: str) -> bool:
        return trigger in self._disabled

    def pointed(self, trigger: str) -> Sink | None:
        return self._pointed.get(trigger)
