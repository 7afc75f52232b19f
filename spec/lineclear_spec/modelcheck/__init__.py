"""The table executed: every choice of the environment in small worlds, and walks with a device.

Guarantees: what is evaluated on an executed state are the predicates that are proved of every state.
"""
