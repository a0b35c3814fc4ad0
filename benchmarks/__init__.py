"""Measures the engine as it runs; not packaged."""
