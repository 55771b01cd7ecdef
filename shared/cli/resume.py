"""`akeso resume`: one of the three modes, of everything or of a part."""

from shared.cli import _halt

command = _halt.command_of("run", "Work again; nothing is replayed.")
