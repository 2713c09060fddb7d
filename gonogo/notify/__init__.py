"""Updates, sent aside."""
