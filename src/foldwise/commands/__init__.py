"""The flow of every verb."""
