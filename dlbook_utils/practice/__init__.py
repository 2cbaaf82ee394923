"""Deep learning at work: against its rivals, and on other people's data."""
