"""Nodes on the node hosts that are connected: any host may have any number of them."""

from __future__ import annotations


class Candidate:
    """A connected node host and how many nodes it has."""

    __slots__ = ("host", "nodes")

    def __init__(self, host: str, nodes: int) -> None:
        self.host = host
        self.nodes = nodes


def choose_host(candidates: list[Candidate]) -> Candidate:
    """The host with the fewest nodes, the first of equals; it is counted as having one more."""
    chosen = min(candidates, key=lambda candidate: candidate.nodes)
    chosen.nodes += 1
    return chosen
