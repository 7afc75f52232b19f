"""The checks of continuous integration: stages, findings, output formats.

Guarantees: a stage that did not run, or gave no answer, is never reported as passed.
`registry.STAGES` is the only list of stages; a new check is a function and a line there.
"""
