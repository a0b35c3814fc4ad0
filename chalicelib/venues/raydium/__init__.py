"""Pools of Raydium's constant product program (CPMM)."""
