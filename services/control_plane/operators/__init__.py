"""What operators and administrators call."""
