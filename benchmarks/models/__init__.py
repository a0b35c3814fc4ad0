"""Arithmetic: what prices, limits and queues make of the measured figures."""
