"""Default values that several modules use. The construct has the same ones; a test compares them."""

REPLY_TIMEOUT_SECONDS = 120
"""For one SFTP reply. Servers with an object store behind them can need a minute to answer CLOSE."""

RETRY_FOR_SECONDS = 24 * 60 * 60
"""From the first failure of an object until its message is dead-lettered."""

RECEIPTS_FOR_DAYS = 400
RECEIPTS_FOR_SECONDS = RECEIPTS_FOR_DAYS * 24 * 60 * 60
"""From the last change of an item of the ledger until DynamoDB may delete it."""
