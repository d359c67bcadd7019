"""The commands that ask a server something. They know of it what any client knows: its REST API."""
