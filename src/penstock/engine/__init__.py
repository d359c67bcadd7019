"""The one writer: state in memory, the queue of commands, and what follows from each.

A command is decided, applied to the state in memory, committed to the store, and only then
answered and acted upon. `service.py` is all that the wire may ask for.
"""
