"""What the end of a task means: for itself, for those that depend on it, and for its job."""

from __future__ import annotations

from typing import Final

from penstock.domain.records import Failure
from penstock.domain.specs.task import ExitConditions, ExitOptions

ON_SUCCESS: Final = ExitOptions(job_action="none", dependency_action="satisfy")
ON_FAILURE: Final = ExitOptions(job_action="terminate", dependency_action="block")

_EXIT_CODE: Final = "FailureExitCode"
_UPLOAD: Final = "FileUpload"


def exit_options(
    conditions: ExitConditions | None, exit_code: int | None, failure: Failure | None
) -> ExitOptions:
    """The job action and the dependency action that follow, both filled in.

    An exit code that is listed decides first, then a failed upload, then a failure before the
    command ran; what is left and is no success takes ``default``. Parts that the chosen options
    leave open are those of an ordinary success or failure.
    """
    usual = ON_SUCCESS if failure is None else ON_FAILURE
    chosen = _chosen(conditions, exit_code, failure) if conditions is not None else None
    if chosen is None:
        return usual
    return ExitOptions(
        job_action=chosen.job_action or usual.job_action,
        dependency_action=chosen.dependency_action or usual.dependency_action,
    )


def _chosen(
    conditions: ExitConditions, exit_code: int | None, failure: Failure | None
) -> ExitOptions | None:
    ended_by_itself = failure is None or failure.code == _EXIT_CODE or _upload_failed(failure)
    if exit_code is not None and ended_by_itself:
        for mapping in conditions.exit_codes or []:
            if mapping.code == exit_code:
                return mapping.exit_options
        for span in conditions.exit_code_ranges or []:
            if span.start <= exit_code <= span.end:
                return span.exit_options
    if failure is None:
        return None
    if _upload_failed(failure) and conditions.file_upload_error is not None:
        return conditions.file_upload_error
    if exit_code is None and failure.code != "TaskEnded" and conditions.pre_processing_error:
        return conditions.pre_processing_error
    return conditions.default


def _upload_failed(failure: Failure) -> bool:
    return failure.code.startswith(_UPLOAD)


def may_retry(max_retries: int, retry_count: int, failure: Failure | None) -> bool:
    """Only a bad exit code is worth another try, as often as the constraint says (-1: always)."""
    if failure is None or failure.code != _EXIT_CODE:
        return False
    return max_retries < 0 or retry_count < max_retries
