"""What is true: the lifecycle, the ledger, the guarded actions and the invariants proved of them.

Guarantees: importing this package imports nothing but itself; solvers are loaded only by the
modules that prove. Each folder is a room that imports only rooms below it (`pyproject.toml` lists the layers); `logic`
and `parallel`, which any room may use, are in none.
"""
