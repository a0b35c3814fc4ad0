"""What an order, a quote and a lifecycle are. Pure: the standard library and msgspec only."""
