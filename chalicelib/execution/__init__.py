"""From a message to a terminal order: batches, single orders, and what went wrong."""
