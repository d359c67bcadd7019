"""Bodies that could be meant, made from the types that bodies are read into.

A property that is added to a specification is generated from then on.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec.inspect as ms

from penstock.domain.specs.certificate import CertificateSpec
from penstock.domain.specs.common import Spec
from penstock.domain.specs.job import JobPatch, JobSpec
from penstock.domain.specs.node import (
    DeallocateBody,
    DisableSchedulingBody,
    LogUpload,
    NodeUserChange,
    NodeUserSpec,
    RebootBody,
    ReimageBody,
)
from penstock.domain.specs.pool import NodeRemoval, PoolPatch, PoolReplacement, PoolSpec, Resize
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec
from penstock.domain.specs.task import TaskSpec
from penstock.wire.specs.jobs import DisableBody, TerminateBody
from penstock.wire.specs.tasks import ConstraintsBody

KINDS: Final[dict[str, type[Spec]]] = {
    "Create pool": PoolSpec,
    "Update pool": PoolPatch,
    "Replace pool properties": PoolReplacement,
    "Resize pool": Resize,
    "Remove nodes": NodeRemoval,
    "Reboot node": RebootBody,
    "Reimage node": ReimageBody,
    "Deallocate node": DeallocateBody,
    "Disable node scheduling": DisableSchedulingBody,
    "Create node user": NodeUserSpec,
    "Replace node user": NodeUserChange,
    "Upload node logs": LogUpload,
    "Create certificate": CertificateSpec,
    "Create job": JobSpec,
    "Update job": JobPatch,
    "Replace job": JobPatch,
    "Disable job": DisableBody,
    "Terminate job": TerminateBody,
    "Create job schedule": JobScheduleSpec,
    "Update job schedule": JobSchedulePatch,
    "Replace job schedule": JobSchedulePatch,
    "Create task": TaskSpec,
    "Replace task": ConstraintsBody,
}
"""By name of operation; others are sent a body of one of these, or of the literal ones below."""

LITERAL: Final[dict[str, dict[str, Any]]] = {
    "Enable pool autoscale": {"autoScaleFormula": "$TargetDedicatedNodes=1;"},
    "Evaluate pool autoscale": {"autoScaleFormula": "$TargetDedicatedNodes=1;"},
    "Advance clock (an extension)": {"advance": "nothing"},
}

WORDS: Final[dict[str, tuple[Any, ...]]] = {
    "id": ("fuzz-0", "fuzz-1", "fuzz-2"),
    "vmSize": ("standard_d2s_v3", "STANDARD_A1_v2"),
    "commandLine": ("/bin/true",),
    "coordinationCommandLine": ("/bin/true",),
    "poolId": ("fuzz-0", "no-such-pool"),
    "targetDedicatedNodes": (0,),
    "targetLowPriorityNodes": (0,),
    "nodeFillType": ("spread", "Pack"),
    "publisher": ("canonical",),
    "offer": ("ubuntu-24_04-lts",),
    "sku": ("server",),
    "nodeAgentSKUId": ("batch.node.ubuntu 24.04",),
    "httpUrl": ("http://127.0.0.1:1/data",),
    "filePath": ("data.txt", "a/b.txt"),
    "containerUrl": ("http://127.0.0.1:1/out?sig=x",),
    "uploadCondition": ("taskSuccess", "taskcompletion"),
    "disableTasks": ("requeue", "Terminate", "wait"),
    "poolLifetimeOption": ("job", "jobSchedule"),
    "onAllTasksComplete": ("noAction",),
    "resizeTimeout": ("PT5M", "PT15M"),
    "maxWallClockTime": ("PT1H", "P10675199DT2H48M5.4775807S"),
    "recurrenceInterval": ("PT1H",),
    "doNotRunUntil": ("2090-01-01T00:00:00Z",),
    "startTime": ("2024-01-31T08:00:00Z",),
    "thumbprint": ("0" * 40,),
    "thumbprintAlgorithm": ("sha1", "SHA1"),
    "data": ("AAAA", "MIIC"),
    "certificateFormat": ("cer", "pfx"),
}
"""Values that are taken for a property of this name."""

_IMAGE: Final = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}

THINGS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "/pools",
        {
            "id": "fuzz-0",
            "vmSize": "standard_d2s_v3",
            "virtualMachineConfiguration": {
                "imageReference": _IMAGE,
                "nodeAgentSKUId": "batch.node.ubuntu 24.04",
            },
            "targetDedicatedNodes": 1,
        },
    ),
    ("/jobs", {"id": "fuzz-0", "poolInfo": {"poolId": "fuzz-0"}, "usesTaskDependencies": True}),
    ("/jobs/fuzz-0/tasks", {"id": "fuzz-0", "commandLine": "/bin/true"}),
    ("/jobs/fuzz-0/tasks", {"id": "fuzz-1", "commandLine": "/bin/sleep 600"}),
    (
        "/jobschedules",
        {
            "id": "fuzz-1",
            "schedule": {"doNotRunUntil": "2090-01-01T00:00:00Z"},
            "jobSpecification": {"poolInfo": {"poolId": "fuzz-0"}},
        },
    ),
)
"""What each worker has, so that requests find something: where it is made, and the body."""

_DEEPEST: Final = 6


def body(random: Random, operation: str) -> Any:
    """A body that the operation may take, mostly."""
    if operation == "Create task collection":
        return {"value": [body(random, "Create task") for _ in range(random.choice((1, 2, 5)))]}
    if operation in LITERAL:
        return dict(LITERAL[operation])
    kind = KINDS.get(operation)
    if kind is None:
        kind = random.choice(list(KINDS.values()))
    return _made(random, _TYPES[kind], "", 0)


def _made(random: Random, kind: ms.Type, name: str, depth: int) -> Any:
    if name in WORDS:
        return random.choice(WORDS[name])
    match kind:
        case ms.StructType():
            return {
                field.encode_name: _made(random, field.type, field.encode_name, depth + 1)
                for field in kind.fields
                if field.required or (depth < _DEEPEST and random.random() < 0.25)
            }
        case ms.UnionType():
            return _made(random, random.choice(kind.types), name, depth)
        case ms.ListType():
            return [
                _made(random, kind.item_type, "", depth + 1)
                for _ in range(random.choice((0, 1, 1, 2)))
            ]
        case ms.IntType():
            return random.choice((0, 1, 2, 100, "1"))
        case ms.BoolType():
            return random.random() < 0.5
        case ms.FloatType():
            return random.choice((0.5, 1, 100.0))
        case ms.StrType():
            return random.choice(("a", "b-1", "true", "nonAdmin"))
        case ms.DictType():
            return {"name": "x", "value": random.choice((1, "y", None, []))}
        case ms.NoneType():
            return None
        case ms.CustomType():
            return random.choice(("PT5M", "PT1H", "P7D"))
    return random.choice((1, "x", {}))


_TYPES: Final = {kind: ms.type_info(kind) for kind in KINDS.values()}
