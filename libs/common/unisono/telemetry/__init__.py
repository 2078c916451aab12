"""What a device tells of itself: one table of metrics, their ledger, their exposition."""
