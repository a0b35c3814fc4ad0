"""Runs the engine on one machine, without Docker or a cloud account; no part of the package."""
