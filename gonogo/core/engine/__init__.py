"""What happens next: events, the state they add up to, and the decision."""
