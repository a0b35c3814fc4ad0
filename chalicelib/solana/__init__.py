"""The only room that knows Solana: addresses, accounts, mints, the clock, and the RPC."""
