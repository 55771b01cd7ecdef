"""What people may ask of the system and what it tells them: plain functions from data to data, no HTTP, no terminal.

Whatever moves anything is a transition that api calls in a person's name; nothing here has an authority of its own.
"""
