"""An order execution engine for token swaps, as serverless functions."""

__version__ = "0.1.0"
