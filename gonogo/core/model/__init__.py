"""What a runbook says: typed parts, and the rules between them."""
