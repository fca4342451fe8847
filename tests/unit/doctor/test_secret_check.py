"""What is said of the certificate in the secret."""

from __future__ import annotations

import time

import asyncssh
import pytest

from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.doctor.request import CURRENT
from s3_to_sftp.doctor.secret_check import SecretCheck

KEY, AUTHORITY = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
DAY = 86_400


@pytest.mark.parametrize(
    ("valid_before", "warning"),
    [(0xFFFFFFFFFFFFFFFF, ""), (time.time() + 40 * DAY, ""), (time.time() + 3.5 * DAY, "ends in 3 days")],
    ids=["never", "later", "soon"],
)
def test_certificate_that_ends_soon_is_a_warning(valid_before: float, warning: str) -> None:
    certificate = AUTHORITY.generate_user_certificate(
        KEY, "id", principals=["partner"], valid_before=int(valid_before)
    )
    login = Credentials(
        username="partner",
        private_key=KEY.export_private_key().decode(),
        certificate=certificate.export_certificate().decode(),
    )
    check = SecretCheck(FixedCredentials(login))
    assert warning in check.read(CURRENT).warning
    assert bool(check.read(CURRENT).warning) is bool(warning)
    assert check.certificate_until == float(int(valid_before))
