"""The messages of SQS: retried, returned to the queue, or dead-lettered."""
