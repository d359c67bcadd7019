"""What must outlive the process of a node host, in one append-only file.

The file is not synced: it is to survive the end of the process, not of the machine, after
which nothing runs that could be run twice. Records are lines, a letter and JSON; the batch of
one turn of the loop is one write. A torn last line is the batch that was never acted upon.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.agent import log
from penstock.agent.events import RunKey
from penstock.agent.ledger import BegunRun, Saved, SavedNode
from penstock.agent.strays import boot_id
from penstock.messages import NumberedReport, StartTaskEnded, TaskEnded

_COMPACT_BYTES: Final = 4 << 20
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODERS: Final[dict[bytes, msgspec.json.Decoder[Any]]] = {
    b"S": msgspec.json.Decoder(str),  # server
    b"M": msgspec.json.Decoder(str),  # run of the machine; processes of another are gone
    b"H": msgspec.json.Decoder(int),  # highest report number
    b"A": msgspec.json.Decoder(int),  # addresses given
    b"N": msgspec.json.Decoder(SavedNode),
    b"G": msgspec.json.Decoder(int),  # node gone
    b"B": msgspec.json.Decoder(BegunRun),
    b"F": msgspec.json.Decoder(RunKey),  # run over, nobody to tell
    b"R": msgspec.json.Decoder(NumberedReport),
    b"C": msgspec.json.Decoder(int),  # confirmed up to
}


class Journal:
    """The file, and what it amounts to."""

    def __init__(self, path: Path, compact_bytes: int = _COMPACT_BYTES) -> None:
        self._path = path
        self._compact_bytes = compact_bytes
        self._lines: list[bytes] = []
        self._size = 0
        self._torn = False  # a write failed, so the file may end in half a line
        self.saved, self._boot = _read(path)
        if self._boot != boot_id():
            self._boot = boot_id()
            self.saved.begun = {
                key: msgspec.structs.replace(run, pid=0) for key, run in self.saved.begun.items()
            }
        self._file = -1
        self._compact()

    def server(self, server: str, *, other: bool) -> None:
        """Note the server; what was said to an `other` one before is void."""
        if other:
            self.saved.reports.clear()
        self._apply(b"S", server)
        if other:
            self._compact()

    def node(self, node: SavedNode) -> None:
        self._apply(b"N", node)

    def node_gone(self, node_no: int) -> None:
        self._apply(b"G", node_no)

    def begun(self, run: BegunRun) -> None:
        self._apply(b"B", run)

    def forget(self, key: RunKey) -> None:
        if key in self.saved.begun:
            self._apply(b"F", key)

    def report(self, report: NumberedReport) -> None:
        self._apply(b"R", report)

    def confirmed(self, number: int) -> None:
        self._apply(b"C", number)

    def address(self) -> int:
        """Count one more address given."""
        self._apply(b"A", self.saved.addresses + 1)
        return self.saved.addresses

    def flush(self) -> None:
        """Write what was noted since the last time. Raises OSError."""
        if self._torn:
            self._compact()
        if not self._lines:
            return
        batch = b"".join(self._lines)
        self._lines.clear()
        self._torn = True
        _write_all(self._file, batch)
        self._torn = False
        self._size += len(batch)
        if self._size > self._compact_bytes:
            self._compact()

    def close(self) -> None:
        if self._file >= 0:
            self.flush()
            os.close(self._file)
            self._file = -1

    def _apply(self, kind: bytes, value: Any) -> None:
        _take(self.saved, kind, value)
        self._lines.append(b"%b %b\n" % (kind, _ENCODE(value)))

    def _compact(self) -> None:
        """Replace the file by the shortest one that amounts to the same."""
        aside = self._path.with_suffix(".new")
        text = b"".join(
            b"%b %b\n" % (kind, _ENCODE(value))
            for kind, value in [(b"M", self._boot), *_records(self.saved)]
        )
        file = os.open(
            aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            _write_all(file, text)
            aside.rename(self._path)
        except OSError:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._lines.clear()
        self._torn = False
        self._size = 0  # counts what was added since


def host_id(path: Path) -> str:
    """The random name of this host, made when it is first asked for."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        text = ""
    if not text:
        text = secrets.token_hex(16)
        aside = path.with_suffix(".new")
        aside.write_text(text + "\n")
        aside.rename(path)
    return text


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _read(path: Path) -> tuple[Saved, str]:
    saved = Saved()
    boot = ""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return saved, boot_id()
    for number, line in enumerate(lines[:-1]):
        kind, _, text = line.partition(b" ")
        decoder = _DECODERS.get(kind)
        try:
            value = decoder.decode(text) if decoder is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = None
        if value is None:
            log.warning("journal_line_unreadable", line=number + 1, file=path)
        elif kind == b"M":
            boot = value
        else:
            _take(saved, kind, value)
    return saved, boot


def _take(saved: Saved, kind: bytes, value: Any) -> None:
    """Let one record have its effect."""
    if kind == b"B":
        saved.begun[value.key] = value
    elif kind == b"R":
        _take_report(saved, value)
    elif kind == b"C":
        _confirm(saved, value)
    elif kind == b"F":
        saved.begun.pop(value, None)
    elif kind == b"N":
        saved.nodes[value.order.node_no] = value
    elif kind == b"G":
        saved.nodes.pop(value, None)
    elif kind == b"S":
        saved.server = value
    elif kind == b"A":
        saved.addresses = value
    elif kind == b"H":
        saved.highest = max(saved.highest, value)


def _take_report(saved: Saved, report: NumberedReport) -> None:
    saved.reports[report.report] = report
    saved.highest = max(saved.highest, report.report)
    if isinstance(report, TaskEnded):
        saved.begun.pop(RunKey(report.task_no, report.attempt), None)
    elif isinstance(report, StartTaskEnded):
        node = saved.nodes.get(report.node_no)
        if node is not None and node.order.boot == report.boot:
            saved.nodes[report.node_no] = msgspec.structs.replace(node, start_ended=report)


def _confirm(saved: Saved, number: int) -> None:
    for held in [held for held in saved.reports if held <= number]:
        del saved.reports[held]


def _records(saved: Saved) -> list[tuple[bytes, Any]]:
    records: list[tuple[bytes, Any]] = [(b"H", saved.highest), (b"A", saved.addresses)]
    if saved.server is not None:
        records.append((b"S", saved.server))
    records += [(b"N", node) for node in saved.nodes.values()]
    records += [(b"B", run) for run in saved.begun.values()]
    records += [(b"R", report) for report in saved.reports.values()]
    return records
