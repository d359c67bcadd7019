"""The specifications have every property of the newest SDK's models, each with a type."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from azure.batch import models
from azure.batch._utils.model_base import Model
from azure.batch.models import _models

from penstock.domain.specs.common import Spec
from penstock.domain.specs.job import JobPatch, JobSpec, JobTemplate
from penstock.domain.specs.schedule import JobSchedulePatch, JobScheduleSpec
from penstock.domain.specs.task import TaskSpec

PAIRS: list[tuple[str, type[Spec]]] = [
    ("BatchJobCreateOptions", JobSpec),
    ("BatchJobSpecification", JobTemplate),
    ("BatchJobUpdateOptions", JobPatch),
    ("BatchJobScheduleCreateOptions", JobScheduleSpec),
    ("BatchJobScheduleUpdateOptions", JobSchedulePatch),
    ("BatchTaskCreateOptions", TaskSpec),
]
OF_OTHERS = {"BatchPoolSpecification"}
"""Models that another test walks through."""


def named(hint: Any) -> Iterator[str]:
    """The names of models in a type, which the SDK writes as text in text."""
    if isinstance(hint, str):
        yield hint.rpartition(".")[2]
    elif isinstance(hint, typing.ForwardRef):
        yield hint.__forward_arg__.rpartition(".")[2]
    elif isinstance(hint, type) and not typing.get_args(hint):
        yield hint.__name__
    for inner in typing.get_args(hint):
        yield from named(inner)


def model_in(hint: Any) -> Any:
    for name in named(hint):
        found = getattr(models, name, None) or getattr(_models, name, None)
        if isinstance(found, type) and issubclass(found, Model):
            return found
    return None


def structs_in(hint: Any) -> Iterator[type[Spec]]:
    plain = isinstance(hint, type) and not isinstance(hint, types.GenericAlias)
    if plain and issubclass(hint, Spec):
        yield hint
    for inner in typing.get_args(hint):
        yield from structs_in(inner)


def differences(name: str, spec: type[Spec], path: str, seen: set[Any]) -> Iterator[str]:
    """What the model has and the specification has not."""
    model = getattr(models, name, None) or getattr(_models, name)
    if name in OF_OTHERS or (name, spec) in seen:
        return
    seen.add((name, spec))
    model()  # the SDK names the fields of a model when it makes the first
    hints = typing.get_type_hints(spec)
    kinds = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(spec)}
    for attribute, field in model._attr_to_rest_field.items():
        wire, where = field._rest_name, f"{path}.{field._rest_name}"
        if wire not in kinds:
            yield f"{where} is missing"
            continue
        inner = model_in(model.__annotations__[attribute])
        ours = next(structs_in(kinds[wire]), None)
        if inner is not None and ours is None:
            yield f"{where} has no type"
        elif inner is not None and ours is not None:
            yield from differences(inner.__name__, ours, where, seen)


@pytest.mark.parametrize(("name", "spec"), PAIRS)
def test_every_property_has_a_type(name: str, spec: type[Spec]) -> None:
    assert list(differences(name, spec, name, set())) == []


def test_the_test_sees_what_is_missing() -> None:
    class Poor(Spec, frozen=True, kw_only=True):
        priority: int | None = None
        constraints: dict[str, Any] | None = None

    found = list(differences("BatchJobUpdateOptions", Poor, "job", set()))
    assert "job.poolInfo is missing" in found
    assert "job.constraints has no type" in found
