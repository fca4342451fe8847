"""What outlives an invocation, in one DynamoDB table: leases, checkpoints, receipts, the circuit breaker."""
