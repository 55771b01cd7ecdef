"""What the stop ConfigMap says: one mode for everything, and keys beside it for a part of it.

`tenant.<tenant>`, `cluster.<tenant>.<cluster>`, `namespace.<namespace>`, `action.<action>`, each with `stop` or
`freeze` and, if somebody said why, `: reason`. What nobody can understand is a freeze: it was meant to hold something.
So is a key that nobody knows, or that names what there cannot be: `namespaces.shop` was meant to hold, and holds all.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, cast, get_args

StopMode = Literal["run", "stop", "freeze"]

_KINDS: Final = ("tenant.", "cluster.", "namespace.", "action.")
_ORDER: Final = get_args(StopMode)  # each holds more than the one before it
ABOUT_ALL: Final = ("mode", "reason", "by", "since", "hydrated-at")
PART: Final = re.compile(
    "tenant[.][a-z0-9-]{1,40}|cluster[.][a-z0-9-]{1,40}[.][a-z0-9-]{1,40}"
    "|namespace[.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|action[.][a-z][a-z0-9_]{1,39}"
)


class Halt(NamedTuple):
    """How far the machine may go, and the key that says so; empty: the mode for everything."""

    mode: StopMode
    key: str = ""
    unknown: tuple[str, ...] = ()  # the keys for which nothing else is to be believed

    def __str__(self) -> str:
        if self.unknown:
            return f"{self.mode} is set: {not_known(self.unknown)}"
        return f"{self.mode} is set" + (f" for {self.key.replace('.', ' ', 1)}" if self.key else "")


def mode_of(value: str) -> StopMode:
    """What the value of a scoped key means; there is no `run`, because lifting is taking the key away."""
    return "stop" if value == "stop" or value.startswith("stop:") else "freeze"


def plain(value: str) -> str:
    """The same value in words that nobody can read another way."""
    if value.startswith(("stop:", "freeze:")) or value in _ORDER[1:]:
        return value
    return f"freeze: {value}" if value else "freeze"


def unknown(data: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that no one of ours reads: somebody meant to hold something by them."""
    return tuple(sorted(key for key in data if key not in ABOUT_ALL and not PART.fullmatch(key)))


def not_known(keys: Iterable[str]) -> str:
    shown = [key[:60] for key in keys]
    return "akeso-stop has what nobody knows: " + ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")  # noqa: PLR2004


def scoped(data: Mapping[str, str]) -> dict[str, str]:
    """The scoped keys among these."""
    return {key: value for key, value in data.items() if key.startswith(_KINDS)}


def keys(*, tenant: str, cluster: str, action: str, namespaces: Iterable[str]) -> tuple[str, ...]:
    """The scoped keys that would hold such a write."""
    places = sorted({namespace for namespace in namespaces if namespace})
    return (
        f"tenant.{tenant}",
        f"cluster.{tenant}.{cluster}",
        *(f"namespace.{namespace}" for namespace in places),
        f"action.{action}",
    )


def halt(data: Mapping[str, str] | None, of: Iterable[str] = ()) -> Halt:
    """The strictest of the mode and of the scoped keys `of`.

    No ConfigMap is a freeze. One without a mode means run only before the first hydration: an installation brings it
    empty, so that applying the manifests again never lifts a stop.
    """
    if data is None:
        return Halt("freeze")
    if wrong := unknown(data):
        return Halt("freeze", unknown=wrong)
    mode = data.get("mode", "freeze" if "hydrated-at" in data else "run")
    everything = Halt(cast("StopMode", mode) if mode in _ORDER else "freeze")
    return max(
        (everything, *(Halt(mode_of(data[key]), key) for key in of if key in data)),
        key=lambda one: _ORDER.index(one.mode),
    )
