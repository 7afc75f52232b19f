"""What continuous integration asks: stages, their findings, and how a result is told.

Guarantees: a stage that did not run, or gave no answer, is never called passed. `registry.STAGES`
is the one list of stages; a new check is a function and a line there.
"""
