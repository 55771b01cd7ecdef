"""`akeso policy test`: what people expect of a policy, asked of the real guard on a Redis of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli import _out, _policy

if TYPE_CHECKING:
    from shared.dev.cases import Case, Cases
    from shared.guard.policy import Policy


def command(
    file: Annotated[str, typer.Argument(help="Cases: name, given, expect; - reads stdin.")],
    policy: Annotated[str, typer.Option(help="The policy to test, instead of the one that the file names.")] = "",
    as_json: _out.Json = False,
) -> int:
    """Ask the guard every case of the file under its policy, and say which do not come out as expected.

    The real scripts answer, on a Redis that is started for this and thrown away.
    """
    from shared.dev import cases

    read = cases.read(_policy.text(file))
    results = list(cases.play(read, _named(file, read, policy), _policy.catalogue()))
    bad = [one for one in results if not one.good]
    if as_json:
        _out.show_json(
            [{"name": one.case.name, "good": one.good, "expected": _expected(one.case), "found": one.found}
             for one in results]
        )  # fmt: skip
    else:
        for one in bad:
            _out.say(f"{one.case.name}: expected {_expected(one.case)}, found {one.found}")
        _out.say(f"{len(results) - len(bad)} of {len(results)} cases are as expected")
    return _out.NO if bad else _out.OK


def _named(file: str, read: "Cases", option: str) -> "Policy":
    from shared.guard.policy_read import of_value

    if option:
        return _policy.policy(option)
    if isinstance(read.policy, str):
        return _policy.policy(str(Path(file).parent / read.policy) if file != "-" else read.policy)
    return of_value(read.policy, _policy.catalogue().names())


def _expected(case: "Case") -> str:
    wanted = case.expect
    return (
        wanted.decision
        + (f" ({wanted.check})" if wanted.check else "")
        + (f" by {wanted.needs}" if wanted.needs else "")
    )
