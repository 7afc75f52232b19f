"""Where a plan runs: block pools, copies and attention on a device.

Guarantees: it takes block ids from the plans of `lineclear` and owns no free list; every operation
is issued under the waits that its plan carries. The scheduler and the specification never import
it.
"""
