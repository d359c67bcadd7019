"""One kill, and exactly what it may cost."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.fire.busy import AT_ONCE, NODES, WITHIN_S, finished, make_busy
from tests.e2e.fire.ledger import Ledger
from tests.e2e.harness import Penstock
from tests.e2e.things import all_completed, job_options, nodes_ready, pool_options, task_options


def test_a_killed_server_costs_nothing(tmp_path: Path, ledger: Ledger) -> None:
    with Penstock(tmp_path / "data") as service:
        wanted = make_busy(service.client(), ledger)
        host = service.node_host().pid

        for _ in range(2):
            service.kill()
            service.start()

        verdict = finished(service.client(), ledger, wanted)
        assert service.node_host().pid == host, "the node host lives through it"
        assert (verdict.requeued, verdict.unseen) == (0, 0)


def test_a_killed_node_host_costs_what_ran_on_it(tmp_path: Path, ledger: Ledger) -> None:
    with Penstock(tmp_path / "data") as service:
        # They run for longer than a node host needs to start, so its successor meets them.
        wanted = make_busy(service.client(), ledger, tasks=2 * AT_ONCE, seconds=1.5)
        old = service.node_host()

        old.kill()

        verdict = finished(service.client(), ledger, wanted)
        assert service.node_host().pid != old.pid
        assert 0 < verdict.requeued <= AT_ONCE
        assert verdict.unseen <= AT_ONCE // 2, "most of those cut short had begun"


def test_a_server_killed_before_its_nodes_are_ready(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data") as service:
        client = service.client()
        client.create_pool(pool_options("p", nodes=NODES))
        client.create_job(job_options("j", "p"))
        client.create_tasks("j", [task_options(f"t{i}", "/bin/true") for i in range(10)])

        service.kill()
        service.start()

        client = service.client()
        nodes_ready(client, "p", NODES)
        assert len(all_completed(client, "j", 10, WITHIN_S)) == 10


def test_blobs_survive_a_killed_server(tmp_path: Path) -> None:
    with Penstock(tmp_path / "data", storage="azurite") as service:
        blobs = service.blobs()
        blobs.create_container("kept")
        blobs.get_blob_client("kept", "b").upload_blob(b"still here")

        service.kill()
        service.start()

        blob = service.blobs().get_blob_client("kept", "b")
        assert blob.download_blob().readall() == b"still here"
