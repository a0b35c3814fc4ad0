"""Answers of the real programs, and what the engine's pools make of them."""
