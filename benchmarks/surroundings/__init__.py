"""What stands around them: Postgres, AWS, and the share of a processor."""
