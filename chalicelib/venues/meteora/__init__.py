"""Meteora DLMM: liquidity in bins of one price each, and a fee that grows with the bins that trades cross.

`state` reads a pool from accounts, `pool` is what the engine sees of it. `walk` executes a swap bin by bin;
`curve` answers the same from a table, for quotes. Formulas as in the program's public sources:
github.com/MeteoraAg/dlmm-sdk, commons/src/{quote.rs,extensions,math} and idls/dlmm.json.
"""
