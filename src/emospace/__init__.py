"""emospace."""
