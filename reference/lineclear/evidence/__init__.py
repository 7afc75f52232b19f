"""Evidence that checks can fail and that rules matter: baselines, faults and refutations.

Nothing that schedules imports it; a scheduler loads a baseline by the name in its settings.
"""
