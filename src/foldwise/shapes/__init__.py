"""What a submission file holds: decided, written, read back."""
