"""Where a plan runs: block pools, copies and attention on a device.

Guarantees nothing yet: this version holds no device code. It will take block ids from the plans of
`lineclear` and own no free list; the scheduler and the specification never import it.
"""
