"""The theorem of KV: every token that a request learns was computed from the KV of exactly its own tokens.

Guarantees: what is assumed of a device, a model and a caller is a premise with a name (`kv/premises.py`).
"""
