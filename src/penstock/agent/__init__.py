"""The node host: the process behind ``penstock agent``.

It hosts one or many compute nodes and dials out to the server. `core` decides, purely: events
in, actions out. Everything else here carries out one kind of action (processes, directories,
transfers, answers about files), remembers (`journal`) or talks (`link`); `host` ties them.
"""
