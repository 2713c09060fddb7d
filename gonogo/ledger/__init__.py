"""The append-only record in the target, and the fence."""
