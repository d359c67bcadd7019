"""Real clients, installed as their users install them, against a real `penstock up`.

What works is measured on the wire and kept in `results`, one file per client. Heavy, so a group of
its own: `make test-clients`.
"""
