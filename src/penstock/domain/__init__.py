"""What the service is about: pools, nodes, jobs and tasks, as plain values.

Here live ids, instants and durations, the specifications that users send, the records that
the store keeps, the tables of states, and the refusals. Nothing in this package reads a clock,
rolls dice, touches a file or imports another package of ours.
"""
