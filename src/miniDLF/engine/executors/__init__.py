"""What runs plans: threads."""
