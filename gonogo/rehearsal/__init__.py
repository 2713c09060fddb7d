"""The same plan, forward and back, on a restored copy."""
