"""The ledger: who sends which version, how far it is, and what became of it."""

from s3_to_sftp.ledger.dynamo import DynamoLedger
from s3_to_sftp.ledger.lease import Checkpoint, Lease, Ledger, NoLedger, Settlement

__all__ = ["Checkpoint", "DynamoLedger", "Lease", "Ledger", "NoLedger", "Settlement"]
