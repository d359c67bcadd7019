"""Requests that were understood and will not be carried out.

One class per error code of the wire. The rule that was broken raises it; one handler at the
edge renders it. Values are shown to the client, so they name the property and the reason.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """The request was understood and will not be carried out; nothing has changed."""

    status: ClassVar[int]
    code: ClassVar[str]
    message: ClassVar[str]

    def __init__(self, **values: object) -> None:
        super().__init__(f"{self.code} {values}")
        self.values = {key: str(value) for key, value in values.items()}


class _BadRequest(Refusal):
    status = 400


class _Forbidden(Refusal):
    status = 403


class _NotFound(Refusal):
    status = 404


class _Conflict(Refusal):
    status = 409


# --- 400: what was sent is not right ---------------------------------------------------------


class MissingRequiredHeader(_BadRequest):
    code = "MissingRequiredHeader"
    message = "A required HTTP header was not specified."


class InvalidHeaderValue(_BadRequest):
    code = "InvalidHeaderValue"
    message = "The value for one of the HTTP headers is not in the correct format."


class InvalidAuthenticationInfo(_BadRequest):
    code = "InvalidAuthenticationInfo"
    message = "The Authorization header is not in a form that can be read."


class MissingRequiredQueryParameter(_BadRequest):
    code = "MissingRequiredQueryParameter"
    message = "A required query parameter was not specified for this request."


class UnsupportedRequestVersion(_BadRequest):
    code = "UnsupportedRequestVersion"
    message = "The api-version of the request is not one that this service speaks."


class InvalidQueryParameterValue(_BadRequest):
    code = "InvalidQueryParameterValue"
    message = "The value specified for one of the query parameters is invalid."


class OutOfRangeQueryParameterValue(_BadRequest):
    code = "OutOfRangeQueryParameterValue"
    message = "One of the query parameters specified is outside the permissible range."


class InvalidRequestBody(_BadRequest):
    code = "InvalidRequestBody"
    message = "The specified request body is not syntactically valid."


class MissingRequiredProperty(_BadRequest):
    code = "MissingRequiredProperty"
    message = "A required property was not specified in the request body."


class InvalidPropertyValue(_BadRequest):
    code = "InvalidPropertyValue"
    message = "The value provided for one of the properties in the request body is invalid."


class EmptyMetadataKey(_BadRequest):
    code = "EmptyMetadataKey"
    message = "A metadata item has an empty name."


class MetadataTooLarge(_BadRequest):
    code = "MetadataTooLarge"
    message = "The size of the specified metadata exceeds the maximum size permitted."


class InvalidAutoScalingSettings(_BadRequest):
    code = "InvalidAutoScalingSettings"
    message = "The automatic scaling settings of the pool contradict each other."


class AutoScalingFormulaTooLong(_BadRequest):
    code = "AutoScalingFormulaTooLong"
    message = "The formula for automatic scaling is too long."


class MultipleConditionHeadersNotSupported(_BadRequest):
    code = "MultipleConditionHeadersNotSupported"
    message = "These conditional headers cannot be combined in one request."


class TaskDependenciesNotSpecifiedOnJob(_BadRequest):
    code = "TaskDependenciesNotSpecifiedOnJob"
    message = "The task depends on others, but its job does not use task dependencies."


class TaskDependencyListTooLong(_BadRequest):
    code = "TaskDependencyListTooLong"
    message = "The ids of the tasks that this one depends on are too long together."


class TaskDependencyRangesTooLong(_BadRequest):
    code = "TaskDependencyRangesTooLong"
    message = "The ranges of the tasks that this one depends on are too long together."


class InvalidUri(_BadRequest):
    code = "InvalidUri"
    message = "The requested URI does not represent any resource on the server."


class PoolNotEligibleForOSVersionUpgrade(_BadRequest):
    code = "PoolNotEligibleForOSVersionUpgrade"
    message = "The specified pool is not eligible for an upgrade of its operating system."


# --- 403 and 404 -----------------------------------------------------------------------------


class AuthenticationFailed(_Forbidden):
    code = "AuthenticationFailed"
    message = (
        "Server failed to authenticate the request. Make sure the value of Authorization "
        "header is formed correctly including the signature."
    )


class InsufficientAccountPermissions(_Forbidden):
    code = "InsufficientAccountPermissions"
    message = "The one who sent the request has no permission to carry out the operation."


class ClockIsFixed(_Forbidden):
    code = "ClockIsFixed"
    message = "The clock of this service cannot be advanced: only that of `penstock up` can."


class ResourceNotFound(_NotFound):
    code = "ResourceNotFound"
    message = "The specified resource does not exist."


class PoolNotFound(_NotFound):
    code = "PoolNotFound"
    message = "The specified pool does not exist."


class NodeNotFound(_NotFound):
    code = "NodeNotFound"
    message = "The specified node does not exist."


class JobNotFound(_NotFound):
    code = "JobNotFound"
    message = "The specified job does not exist."


class JobScheduleNotFound(_NotFound):
    code = "JobScheduleNotFound"
    message = "The specified job schedule does not exist."


class TaskNotFound(_NotFound):
    code = "TaskNotFound"
    message = "The specified task does not exist."


class NodeUserNotFound(_NotFound):
    code = "NodeUserNotFound"
    message = "The specified node user does not exist."


class CertificateNotFound(_NotFound):
    code = "CertificateNotFound"
    message = "The specified certificate does not exist."


class FileNotFound(_NotFound):
    code = "FileNotFound"
    message = "The specified file does not exist."


class ApplicationNotFound(_NotFound):
    code = "ApplicationNotFound"
    message = "The specified application does not exist."


class UnsupportedHttpVerb(Refusal):
    status = 405
    code = "UnsupportedHttpVerb"
    message = "The resource does not support the specified HTTP verb."


# --- 409: not in this state ------------------------------------------------------------------


class OperationInvalidForCurrentState(_Conflict):
    code = "OperationInvalidForCurrentState"
    message = "The operation is invalid for the current state of the resource."


class PoolExists(_Conflict):
    code = "PoolExists"
    message = "The specified pool already exists."


class PoolBeingDeleted(_Conflict):
    code = "PoolBeingDeleted"
    message = "The specified pool is being deleted."


class PoolBeingResized(_Conflict):
    code = "PoolBeingResized"
    message = "The specified pool is being resized."


class OperationNotValidOnPool(_Conflict):
    code = "OperationNotValidOnPool"
    message = "The specified operation is not valid on the pool."


class PoolQuotaReached(_Conflict):
    code = "PoolQuotaReached"
    message = "The account has as many pools as its quota allows."


class ActiveJobAndScheduleQuotaReached(_Conflict):
    code = "ActiveJobAndScheduleQuotaReached"
    message = "The account has as many active jobs and job schedules as its quota allows."


class InvalidApplicationPackageReferences(_Conflict):
    code = "InvalidApplicationPackageReferences"
    message = "One or more application package references could not be satisfied."


class JobExists(_Conflict):
    code = "JobExists"
    message = "The specified job already exists."


class JobBeingTerminated(_Conflict):
    code = "JobBeingTerminated"
    message = "The specified job is being terminated."


class JobBeingDeleted(_Conflict):
    code = "JobBeingDeleted"
    message = "The specified job is being deleted."


class JobCompleted(_Conflict):
    code = "JobCompleted"
    message = "The specified job is already in a completed state."


class JobWithSameIdExists(_Conflict):
    code = "JobWithSameIdExists"
    message = "There is a job with the id that the job schedule is to have."


class JobScheduleWithSameIdExists(_Conflict):
    code = "JobScheduleWithSameIdExists"
    message = "There is a job schedule with the id that the job is to have."


class JobScheduleExists(_Conflict):
    code = "JobScheduleExists"
    message = "The specified job schedule already exists."


class JobScheduleDisabled(_Conflict):
    code = "JobScheduleDisabled"
    message = "The specified job schedule is disabled."


class JobScheduleBeingTerminated(_Conflict):
    code = "JobScheduleBeingTerminated"
    message = "The specified job schedule is being terminated."


class JobScheduleBeingDeleted(_Conflict):
    code = "JobScheduleBeingDeleted"
    message = "The specified job schedule is being deleted."


class JobScheduleCompleted(_Conflict):
    code = "JobScheduleCompleted"
    message = "The specified job schedule is already in a completed state."


class TaskExists(_Conflict):
    code = "TaskExists"
    message = "The specified task already exists."


class TaskIdSameAsJobPreparationTask(_Conflict):
    code = "TaskIdSameAsJobPreparationTask"
    message = "The specified task has the id of the job preparation task of its job."


class TaskIdSameAsJobReleaseTask(_Conflict):
    code = "TaskIdSameAsJobReleaseTask"
    message = "The specified task has the id of the job release task of its job."


class JobPreparationTaskOrReleaseTaskNotSpecified(_Conflict):
    code = "JobPreparationTaskOrReleaseTaskNotSpecified"
    message = "The specified job has no job preparation task."


class TaskCompleted(_Conflict):
    code = "TaskCompleted"
    message = "The specified task is already in a completed state."


class TaskNotCompleted(_Conflict):
    code = "TaskNotCompleted"
    message = "The specified task is not in a completed state."


class TaskSucceeded(_Conflict):
    code = "TaskSucceeded"
    message = "The specified task has succeeded, so it cannot be reactivated."


class TaskFilesUnavailable(_Conflict):
    code = "TaskFilesUnavailable"
    message = "The files of the specified task are not there: it has not run, or its node is gone."


class TaskFilesCleanedup(_Conflict):
    code = "TaskFilesCleanedup"
    message = "The files of the specified task have been cleaned up."


class OperationNotValidOnNode(_Conflict):
    code = "OperationNotValidOnNode"
    message = "The specified operation is not valid on the node."


class NodeBeingCreated(_Conflict):
    code = "NodeBeingCreated"
    message = "The specified node is being created."


class NodeBeingStarted(_Conflict):
    code = "NodeBeingStarted"
    message = "The specified node is being started."


class NodeBeingRebooted(_Conflict):
    code = "NodeBeingRebooted"
    message = "The specified node is being rebooted."


class NodeBeingReimaged(_Conflict):
    code = "NodeBeingReimaged"
    message = "The specified node is being reimaged."


class NodeAlreadyInTargetSchedulingState(_Conflict):
    code = "NodeAlreadyInTargetSchedulingState"
    message = "The specified node is already in the target scheduling state."


class NodeStateUnusable(_Conflict):
    code = "NodeStateUnusable"
    message = "The specified node cannot be reached."


class NodeUserExists(_Conflict):
    code = "NodeUserExists"
    message = "The specified node user already exists."


class CertificateExists(_Conflict):
    code = "CertificateExists"
    message = "The specified certificate already exists."


class CertificateStateActive(_Conflict):
    code = "CertificateStateActive"
    message = "The specified certificate is active: no deletion of it has failed."


class InvalidCertificateReferences(_Conflict):
    code = "InvalidCertificateReferences"
    message = "One or more certificate references could not be satisfied."


# --- the others ------------------------------------------------------------------------------


class MissingContentLengthHeader(Refusal):
    status = 411
    code = "MissingContentLengthHeader"
    message = "The Content-Length header was not specified."


class ConditionNotMet(Refusal):
    """Status 412; the edge turns it into an empty 304 where a read asked for that."""

    status = 412
    code = "ConditionNotMet"
    message = "The condition specified in the conditional header(s) was not met."


class NotModified(Refusal):
    """A read whose condition says that the client has the newest already; sent without a body.

    Its values are headers of the answer.
    """

    status = 304
    code = "ConditionNotMet"
    message = "The condition specified in the conditional header(s) was not met."


class NotHttp(_BadRequest):
    code = "InvalidInput"
    message = "The request is not valid HTTP."


class RequestTimedOut(Refusal):
    status = 408
    code = "OperationTimedOut"
    message = "The request was not sent in the time that is allowed for it."


class HeadTooLarge(Refusal):
    status = 431
    code = "InvalidInput"
    message = "The request line and the headers exceed the maximum size permitted."


class RequestBodyTooLarge(Refusal):
    status = 413
    code = "RequestBodyTooLarge"
    message = "The size of the request body exceeds the maximum size permitted."


class InvalidRange(Refusal):
    status = 416
    code = "InvalidRange"
    message = "The range specified is invalid for the current size of the resource."


class ServerBusy(Refusal):
    status = 503
    code = "ServerBusy"
    message = "The server is currently unable to receive requests. Please retry your request."
