"""The real engine and the real agent core on a pretend clock, disk, network and machine.

One seed is one history: `World` makes everything that happens from it, faults included, and
looks after every turn of the engine whether all that must hold does. A seed that fails is a bug
report that anyone can replay: ``python -m tests.sim --seed N``.
"""
