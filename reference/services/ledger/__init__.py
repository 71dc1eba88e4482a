"""The ledger service: a log that is only appended to, chained by hashes, kept durably."""
