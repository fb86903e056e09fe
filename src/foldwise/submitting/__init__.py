"""From a blend to a submission: written, read back, validated, sent and entered in the ledger."""
