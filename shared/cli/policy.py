"""`akeso policy`: a policy as code, checked, tested and compared before it is in force."""

import typer

from shared.cli import policy_check, policy_diff, policy_test

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def policy() -> None:
    """Check, test and compare policies before they are in force."""


app.command("check")(policy_check.command)
app.command("test")(policy_test.command)
app.command("diff")(policy_diff.command)
