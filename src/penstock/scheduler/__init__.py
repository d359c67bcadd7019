"""Which task goes where, and why one waits: pure, incremental, the same answer every time.

Each event (a task added, a slot freed, a node joined) touches only what it changes; a pass
never walks all waiting tasks or all nodes. The tests compare it with a model that does.
"""
