"""Uploads of the logs that the service keeps of a node. This release uploads none."""

from __future__ import annotations

from penstock.wire.answers import Answer, one
from penstock.wire.nodes import node_of
from penstock.wire.request import Request
from penstock.wire.specs.nodes import check_log_upload


async def upload_logs(request: Request) -> Answer:
    """POST /pools/{pool}/nodes/{node}/uploadbatchservicelogs"""
    check_log_upload(await request.json_body())
    pool, node = await node_of(request)
    answer = {
        "virtualDirectoryName": f"{pool.id}/{node.id}/{request.guid}",
        "numberOfFilesUploaded": 0,
    }
    return one(request, "uploadbatchservicelogsresult", answer)
