"""The ledger: who sends which version, how far it is, and what became of it."""

from s3_to_sftp.ledger.dynamo import DynamoLedger
from s3_to_sftp.ledger.lease import (
    Checkpoint,
    Commit,
    Lease,
    Ledger,
    Settlement,
)
from s3_to_sftp.ledger.names import NameKind, RemoteName, RemoteNames
from s3_to_sftp.ledger.no_ledger import NoLedger

__all__ = [
    "Checkpoint",
    "Commit",
    "DynamoLedger",
    "Lease",
    "Ledger",
    "NameKind",
    "NoLedger",
    "RemoteName",
    "RemoteNames",
    "Settlement",
]
