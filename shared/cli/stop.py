"""`akeso stop`: one of the three modes, of everything or of a part."""

from shared.cli import _halt

command = _halt.command_of("stop", "Start no new work; undo is still allowed.")
