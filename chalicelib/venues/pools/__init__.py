"""The pool market: real pools, quoted from their accounts, and traded with on paper."""
