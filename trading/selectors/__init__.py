"""What reads: plain functions with typed results."""
