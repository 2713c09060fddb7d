"""What a migration is, and what happens next: pure. No clock, no I/O."""
