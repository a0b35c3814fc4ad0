"""What stands around what is measured: Postgres, AWS, clients' orders, and the share of a processor."""
