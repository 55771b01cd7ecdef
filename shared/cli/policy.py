"""`akeso policy`: a policy as code, checked, tested and compared before it is in force."""

import typer

from shared.cli import _policy_check, _policy_diff, _policy_test

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def policy() -> None:
    """Check, test and compare policies before they are in force."""


app.command("check")(_policy_check.command)
app.command("test")(_policy_test.command)
app.command("diff")(_policy_diff.command)
