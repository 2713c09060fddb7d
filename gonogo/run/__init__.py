"""What a run does on a real database, as the engine decides."""
