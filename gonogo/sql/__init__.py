"""What a statement does, by the parser alone."""
