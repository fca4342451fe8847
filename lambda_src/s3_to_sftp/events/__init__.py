"""What announces objects: which envelopes are understood, and what each of them names."""

from s3_to_sftp.events.batch_job import BatchJob, Task, is_batch_job
from s3_to_sftp.events.envelopes import (
    Announced,
    is_from_queue,
    objects_in_message,
    objects_in_notification,
    read_message,
    read_notification,
)
from s3_to_sftp.events.object_ref import ObjectRef

__all__ = [
    "Announced",
    "BatchJob",
    "ObjectRef",
    "Task",
    "is_batch_job",
    "is_from_queue",
    "objects_in_message",
    "objects_in_notification",
    "read_message",
    "read_notification",
]
