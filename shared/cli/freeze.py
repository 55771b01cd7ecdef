"""`akeso freeze`: one of the three modes, of everything or of a part."""

from shared.cli import _halt

command = _halt.command_of("freeze", "Nothing is written any more, not even an undo.")
