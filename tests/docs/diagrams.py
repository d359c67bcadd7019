"""The diagrams of docs/states.md, drawn from the tables of the code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from penstock.domain import states as s


class Machine(NamedTuple):
    """One table, with the state in which everything begins."""

    name: str
    table: Mapping[Any, Mapping[Any, Any]]
    first: Enum


MACHINES: Final = (
    Machine("Pool", s.POOL_MOVES, s.PoolState.ACTIVE),
    Machine("Allocation of a pool", s.ALLOCATION_MOVES, s.AllocationState.STEADY),
    Machine("Node", s.NODE_MOVES, s.NodeState.CREATING),
    Machine("Job", s.JOB_MOVES, s.JobState.ACTIVE),
    Machine("Job schedule", s.SCHEDULE_MOVES, s.ScheduleState.ACTIVE),
    Machine("Task", s.TASK_MOVES, s.TaskState.ACTIVE),
    Machine("Certificate", s.CERTIFICATE_MOVES, s.CertificateState.ACTIVE),
    Machine("Subtask", s.SUBTASK_MOVES, s.SubtaskState.PREPARING),
)


def state_name(state: Any) -> str:
    """A state as clients see it."""
    return getattr(state, "wire_name", None) or str(state.value)


def states() -> str:
    """All machines, each as a diagram with what moves it."""
    return "\n\n".join(_drawn(machine) for machine in MACHINES)


def _drawn(machine: Machine) -> str:
    lines = [f"    [*] --> {state_name(machine.first)}"]
    for state, moves in machine.table.items():
        for following, events in _merged(moves).items():
            lines.append(f"    {state_name(state)} --> {following}: {' / '.join(events)}")
        if not moves:
            lines.append(f"    {state_name(state)} --> [*]")
    body = "\n".join(lines)
    return f"## {machine.name}\n\n```mermaid\nstateDiagram-v2\n{body}\n```"


def _merged(moves: Mapping[Any, Any]) -> dict[str, list[str]]:
    """Events by the state that they lead to."""
    found: dict[str, list[str]] = {}
    for event, following in moves.items():
        found.setdefault(state_name(following), []).append(str(event.value))
    return found
