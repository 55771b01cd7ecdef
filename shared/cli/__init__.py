"""The command `akeso`: one file per command, imported only when it is the one that was typed.

A wrong word, a wrong file, an answer of no and an installation that is away are each one line on stderr and an exit
status of their own (`_out`); what a command prints on stdout is its answer and nothing else.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = (
    "dev", "alert", "run", "explain", "timeline", "evidence", "status", "guard", "approvals", "approve", "deny",
    "promote", "stop", "freeze", "resume", "undo", "invoke", "actions", "policy", "render", "keys",
)  # fmt: skip


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  its signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  its signature
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            from importlib import import_module

            module = import_module(f"{__name__}.{cmd_name}")
            app = getattr(module, "app", None)  # of one that has words of its own
            if app is None:
                app = typer.Typer(add_completion=False, rich_markup_mode=None)
                app.command(cmd_name)(module.command)
            self.commands[cmd_name] = typer.main.get_command(app)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no command {args[0][:40]!r}" + (f", did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command and exit with its status; the one place where errors become words."""
        from shared.cli import _out

        extra |= {"standalone_mode": False, "prog_name": "akeso"}
        sys.exit(_out.status_of(lambda: super(_Commands, self).main(*args, **extra)))


app = typer.Typer(cls=_Commands, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def akeso() -> None:
    """AlertManager alerts into safe Kubernetes remediation: see it, ask it, stop it."""


def main() -> None:
    """Console script."""
    app()
