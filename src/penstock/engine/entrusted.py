"""Certificates and users of nodes in memory: which there are, by name."""

from __future__ import annotations

from penstock.domain.records import CertificateRecord, NodeUserRecord, key_of


class Certificates:
    """Finds certificates. Their secrets stay in the store."""

    def __init__(self) -> None:
        self._all: dict[int, CertificateRecord] = {}
        self._nos: dict[tuple[str, str], int] = {}

    def find(self, account: str, certificate_id: str) -> CertificateRecord | None:
        """Find a certificate; the id in any case."""
        return self._all.get(self._nos.get((account, key_of(certificate_id)), 0))

    def get(self, no: int) -> CertificateRecord | None:
        """Find a certificate by its number."""
        return self._all.get(no)

    def newest(self) -> CertificateRecord | None:
        """The certificate that was added last, of any account."""
        return self._all.get(max(self._all, default=0))

    def put(self, certificate: CertificateRecord) -> None:
        """Let a certificate be so."""
        self._all[certificate.no] = certificate
        self._nos[certificate.account, key_of(certificate.id)] = certificate.no

    def drop(self, no: int) -> None:
        """Forget a certificate."""
        certificate = self._all.pop(no)
        del self._nos[certificate.account, key_of(certificate.id)]


class NodeUsers:
    """Finds the users of nodes."""

    def __init__(self) -> None:
        self._all: dict[int, NodeUserRecord] = {}
        self._nos: dict[int, dict[str, int]] = {}  # by node and name

    def of(self, node_no: int) -> list[NodeUserRecord]:
        """All users of a node."""
        return [self._all[no] for no in self._nos.get(node_no, {}).values()]

    def find(self, node_no: int, name: str) -> NodeUserRecord | None:
        """Find a user; the name in any case."""
        return self._all.get(self._nos.get(node_no, {}).get(key_of(name), 0))

    def put(self, user: NodeUserRecord) -> None:
        """Let a user be so."""
        self._all[user.no] = user
        self._nos.setdefault(user.node_no, {})[key_of(user.name)] = user.no

    def drop(self, no: int) -> None:
        """Forget a user."""
        user = self._all.pop(no)
        of_node = self._nos[user.node_no]
        del of_node[key_of(user.name)]
        if not of_node:
            del self._nos[user.node_no]

    def drop_node(self, node_no: int) -> None:
        """Forget the users of a node."""
        for no in self._nos.pop(node_no, {}).values():
            del self._all[no]
