"""The simulated market: venues with plausible prices, and a chain whose ledger is a table."""
