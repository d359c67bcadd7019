"""What users say of automatic scaling: checked. Formulas themselves are refused so far."""

from __future__ import annotations

from typing import Final

from penstock.domain.instants import Duration
from penstock.domain.refusals import AutoScalingFormulaTooLong, InvalidAutoScalingSettings
from penstock.domain.specs.pool import AutoScaling, Evaluation, PoolTemplate
from penstock.wire.specs.bodies import body_of, missing, wrong
from penstock.wire.specs.unsupported import refuse_unsupported

FORMULA: Final = "autoScaleFormula"
LONGEST_FORMULA: Final = 8192
"""Characters of a formula."""

LEAST_INTERVAL: Final = Duration.of_seconds(5 * 60)
LONGEST_INTERVAL: Final = Duration.of_seconds(168 * 3600)


def check_scaling(spec: PoolTemplate) -> None:
    """A pool has targets or a formula: which of them is said by enableAutoScale."""
    _check_interval(spec.auto_scale_evaluation_interval)
    if not spec.enable_auto_scale:
        if spec.auto_scale_formula:
            raise _contradiction(
                FORMULA, spec.auto_scale_formula, "cannot be given unless enableAutoScale is true"
            )
        return
    for name, target in (
        ("targetDedicatedNodes", spec.target_dedicated_nodes),
        ("targetLowPriorityNodes", spec.target_low_priority_nodes),
    ):
        if target is not None:
            raise _contradiction(name, target, "cannot be given when enableAutoScale is true")
    if not spec.auto_scale_formula:
        raise missing(FORMULA)
    _check_formula(spec.auto_scale_formula)
    refuse_unsupported("pool", spec)


def auto_scaling_from_wire(document: bytes) -> AutoScaling:
    """The body of POST /pools/{id}/enableautoscale."""
    settings = body_of(AutoScaling, document, optional=True)
    _check_interval(settings.auto_scale_evaluation_interval)
    _check_formula(settings.auto_scale_formula or "")
    return settings


def formula_from_wire(document: bytes) -> str:
    """The body of POST /pools/{id}/evaluateautoscale."""
    formula = body_of(Evaluation, document).auto_scale_formula
    if not formula:
        raise missing(FORMULA)
    _check_formula(formula)
    return formula


def _check_formula(formula: str) -> None:
    if len(formula) > LONGEST_FORMULA:
        raise AutoScalingFormulaTooLong(
            PropertyName=FORMULA,
            PropertyValue=f"{len(formula)} characters",
            Reason=f"must have {LONGEST_FORMULA} characters at most",
        )


def _check_interval(interval: Duration | None) -> None:
    if interval is not None and (interval < LEAST_INTERVAL or interval > LONGEST_INTERVAL):
        raise wrong(
            "autoScaleEvaluationInterval",
            str(interval),
            f"must be from {LEAST_INTERVAL} to {LONGEST_INTERVAL}",
        )


def _contradiction(name: str, value: object, reason: str) -> InvalidAutoScalingSettings:
    return InvalidAutoScalingSettings(
        PropertyName=name, PropertyValue=str(value)[:256], Reason=reason
    )
