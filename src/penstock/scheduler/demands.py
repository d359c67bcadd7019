"""What a task may ask for beyond slots, and what it is given."""

from __future__ import annotations

import msgspec


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What a task wants besides so many slots of any node.

    A task with a demand does not starve: when its turn has come and it does not fit, nodes are
    held for it. So even an empty demand means something.
    """

    nodes: int = 1  # more than one: that many at once, each with nothing else on it
    whole: bool = False  # a node with nothing else on it, all of whose slots it takes
    dedicated: bool = False  # no node that may be preempted
    first: bool = False  # before all other tasks of its job: a job manager
    displaces: bool = False  # other tasks may have to make room: a job manager that restarts
    gang: bool = False  # a multi-instance task, though it be of one node

    @property
    def is_gang(self) -> bool:
        return self.gang or self.nodes > 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing else may be on its nodes."""
        return self.whole or self.is_gang


class Placement(msgspec.Struct, frozen=True, gc=False):
    """A task and what it was given."""

    job_no: int
    task_no: int
    node_no: int  # the first of its nodes; the primary of a multi-instance task
    slots: int  # what it needs
    ahead: bool = False  # the node has to end something first
    others: tuple[int, ...] = ()  # the nodes after the first
    taken: int = 0  # slots that it takes of each node where they are not those that it needs
    demand: Demand | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        return (self.node_no, *self.others)

    @property
    def held(self) -> int:
        """The slots that it takes of each of its nodes."""
        return self.taken or self.slots


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """What is held for a task that does not fit yet."""

    job_no: int
    task_no: int
    wanted: int  # nodes
    held: tuple[int, ...]  # on which nothing is begun that comes after the task
    free: tuple[int, ...]  # those of them that are ready for it


class Victim(msgspec.Struct, frozen=True, gc=False):
    """A task that has to make room; also one that was sent ahead and has not begun."""

    job_no: int
    task_no: int
