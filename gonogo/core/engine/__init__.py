"""What happens next: facts, the state they add up to, and the decision."""
