"""Makes the clients of AWS services with botocore alone.

boto3 adds transfers and resources that nothing here uses, and that a fresh function would wait for.
"""

import functools
from typing import Any

import botocore.session


def new_client(service: str, **options: Any) -> Any:
    """Return a client as `boto3.client` does. All have one session, which reads each model once.

    Args:
        service: As boto3 calls it.
        **options: As `boto3.client` takes them.
    """
    return _session().create_client(service, **options)


@functools.cache
def _session() -> Any:
    return botocore.session.get_session()
