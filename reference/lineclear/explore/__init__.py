"""Every behaviour of the real scheduler at small scope, under every choice of its environment.

Guarantees: what is found comes with a shortest trace that can be done again.
"""
