"""The Lambda entry point: the only module that knows Lambda's events, context and batch response."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

from s3_to_sftp import lean_imports  # noqa: F401 - before the libraries

# isort: split

from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_to_sftp.app import App, build_app
from s3_to_sftp.aws_clients import new_client
from s3_to_sftp.configured_by import in_words_of_author
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.doctor.request import is_doctor_request
from s3_to_sftp.errors import ConfigurationError, DeliveryError, Disposition
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.queue.disposition import Failure
from s3_to_sftp.queue.message_queue import Message
from s3_to_sftp.s3.batch_operations import BatchJob, is_batch_job
from s3_to_sftp.s3.envelopes import ParsedMessage, is_from_queue, read_message, read_notification
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.selftest import is_selftest_request
from s3_to_sftp.settings import Settings
from s3_to_sftp.telemetry import LambdaTelemetry, logger, metrics
from s3_to_sftp.untrusted_text import quoted

telemetry = LambdaTelemetry()


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Deliver the objects that the event names.

    Args:
        event: A batch of SQS messages that hold S3 notifications, a notification itself (an S3
            notification, or an EventBridge event of S3, also inside a message of SNS), a task of S3
            Batch Operations, the request of `s3-to-sftp selftest` to remove its file, that of
            `s3-to-sftp doctor` for an examination, that of `s3-to-sftp plan` for the plan of an object, or
            that of the schedule which looks for objects that have missed their cut-off.
        context: Lambda's context.

    Returns:
        For SQS the partial batch response: the messages that stay in the queue. For S3 Batch Operations
        the result of each task. For a self-test whether its file was removed. For an examination its
        report. For a plan what `plan_request.answer` returns, for the cut-off how many have missed it.
        Otherwise nothing.

    Raises:
        DeliveryError: No queue: an object was not delivered; Lambda's own retry brings the event again.
    """
    # Several partners in one account: each has a function, and each function metrics of its own.
    metrics.set_default_dimensions(function_name=context.function_name)
    try:
        if is_from_queue(event):
            return _deliver_messages(event, context)
        if is_batch_job(event):
            return _deliver_tasks(event, context)
        if is_selftest_request(event):
            return _remove_selftest(event)
        if is_doctor_request(event):
            return _examine(event, context)
        if _is_plan_request(event):
            return _plan(event)
        if _is_cut_off_request(event):
            return _look_for_missed()
        announced = _reported(read_notification(event))
        for error in (*_deliver(list(announced.objects), context).values(), announced.error):
            if error is not None and not _is_done(error):
                raise error
        return None
    finally:
        _flush()


def _deliver_messages(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    said = {record["messageId"]: _announced_by(record) for record in event["Records"]}
    errors = _deliver([ref for announced in said.values() for ref in announced.objects], context)

    stay = [record["messageId"] for record in event["Records"] if not _leaves(record, said, errors)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in stay]}


def _leaves(
    record: dict[str, Any], said: dict[str, ParsedMessage], errors: dict[ObjectRef, Exception]
) -> bool:
    """Return whether the message may leave the queue. Never raises: the others are judged all the same."""
    announced = said[record["messageId"]]
    failures: list[Failure] = [(ref, errors[ref]) for ref in announced.objects if ref in errors]
    # Each object has been judged by itself; what names none is judged with the message.
    if announced.error is not None:
        failures.append((None, announced.error))
    try:
        return _apply(record, failures)
    except Exception as error:  # noqa: BLE001 - whatever it is, the message is not acknowledged
        logger.error("message %s stays in the queue: %s", record["messageId"], quoted(error))
        return False


def _apply(record: dict[str, Any], failures: Sequence[Failure]) -> bool:
    """Return whether the message may leave the queue."""
    app = _app_or_error()
    if isinstance(app, App) and app.disposition is not None:
        return app.disposition.apply(Message.from_record(record), failures)
    # No queue is configured to act on: the visibility timeout and the redrive policy of SQS apply.
    return all(_is_done(error) for _, error in failures)


def _is_done(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and error.disposition is Disposition.DONE


def _announced_by(record: dict[str, Any]) -> ParsedMessage:
    announced = _reported(read_message(record.get("body")), message_id=record["messageId"])
    message = Message.from_record(record)
    resend, operator = message.is_operator_resend, message.operator
    if not resend and operator is None:
        return announced
    objects = tuple(dataclasses.replace(ref, resend=resend, operator=operator) for ref in announced.objects)
    return dataclasses.replace(announced, objects=objects)


def _reported(announced: ParsedMessage, **about: str) -> ParsedMessage:
    if announced.error is not None:
        telemetry.failed(announced.error, **about)
    return announced


def _deliver_tasks(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver the objects of S3 Batch Operations, and answer for each.

    Raises:
        EventError: The results could not be assigned to tasks: the job counts them as failed.
    """
    try:
        job = BatchJob.from_event(event)
    except DeliveryError as error:
        telemetry.failed(error)
        raise
    refs = [task.named for task in job.tasks if isinstance(task.named, ObjectRef)]
    errors = _deliver(refs, context)
    outcomes: dict[str, Exception | None] = {}
    for task in job.tasks:
        if isinstance(task.named, ObjectRef):
            outcomes[task.id] = errors.get(task.named)
        else:
            telemetry.failed(task.named, task_id=task.id)
            outcomes[task.id] = task.named
    return job.answer(outcomes)


def _remove_selftest(event: dict[str, Any]) -> dict[str, Any]:
    app = _app_or_error()
    if isinstance(app, ConfigurationError):
        return {"removed": False, "reason": str(app)}
    if app.selftests is None:
        return {"removed": False, "reason": "There is no ledger: nothing tells what was delivered."}
    answer = app.selftests.remove(event)
    logger.info(
        "file of a self-test", extra={**answer, "object": f"s3://{event.get('bucket')}/{event.get('key')}"}
    )
    return answer


def _examine(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Examine the way to the partner, and return the report."""
    from s3_to_sftp.doctor.invoked import examine  # deliveries do not need it

    is_over = Deadline(lambda: context.get_remaining_time_in_millis() / 1000).is_near
    if event.get("canary") is True:
        from s3_to_sftp.doctor.canary import examine_as_canary

        report = examine_as_canary(
            event, os.environ, new_client=new_client, is_over=is_over, telemetry=telemetry
        )
    else:
        app = _app_or_error()
        publisher = app.publisher if isinstance(app, App) else NullPublisher()
        report = examine(
            event, os.environ, new_client=new_client, is_over=is_over, opened=publisher.unavailable
        )
    logger.info("examination", extra={"report": report})
    return report


def _is_plan_request(event: object) -> bool:
    return isinstance(event, dict) and event.get("operation") == "plan"


def _plan(event: dict[str, Any]) -> dict[str, Any]:
    """Return what a delivery of the object would do now."""
    from s3_to_sftp.rules.plan_request import answer  # deliveries do not need it

    answered = answer(event, os.environ, new_client=new_client)
    logger.info("plan", extra={"answer": answered})
    return answered


def _is_cut_off_request(event: object) -> bool:
    return isinstance(event, dict) and event.get("operation") == "cut-off"


def _look_for_missed() -> dict[str, Any]:
    """Count the objects that have missed the cut-off of the partner's rules."""
    from s3_to_sftp.rules.cut_off import look_for_missed  # deliveries do not need it

    return look_for_missed(os.environ, new_client=new_client, telemetry=telemetry)


def _deliver(refs: list[ObjectRef], context: LambdaContext) -> dict[ObjectRef, Exception]:
    """Try every object and return the errors: a failed object does not affect the others."""
    app = _app_or_error()
    if isinstance(app, ConfigurationError):  # no object can be delivered
        for ref in refs:
            telemetry.not_delivered(app, ref)
        return dict.fromkeys(refs, app)
    deadline = Deadline(lambda: context.get_remaining_time_in_millis() / 1000)
    if deadline.seconds < app.longest_reply:
        _warn_of_short_timeout(app)
    return app.runner.deliver(refs, Invocation(deadline, context.aws_request_id))


def _warn_of_short_timeout(app: App) -> None:
    """Say beforehand what nobody could say afterwards. Once per environment: Lambda makes a new one then.

    No reason to refuse: most partners answer at once.
    """
    logger.warning(
        "the function's timeout is shorter than the %s s that the partner may take for one reply "
        "(SSH_REPLY_TIMEOUT): without a reply, Lambda ends the function before it can report that",
        f"{app.longest_reply:g}",
        extra={"hint": in_words_of_author("Raise the timeout of the function, or lower SSH_REPLY_TIMEOUT.")},
    )
    app.longest_reply = 0


def _flush() -> None:
    app = _app_or_error()
    if isinstance(app, App):
        app.publisher.flush()


def _app_or_error() -> App | ConfigurationError:
    try:
        return _app()
    except ConfigurationError as error:
        return error


@functools.cache
def _app() -> App:
    """Build what outlives an invocation: clients and warm connections. Built once per environment."""
    return build_app(Settings.from_environment(os.environ), telemetry=telemetry, new_client=new_client)
