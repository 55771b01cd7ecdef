"""Guesses in plain Python at what the guard must say, one theme each, to be played against the scripts."""
