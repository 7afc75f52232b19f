"""What shows that checks can fail and that rules matter: baselines, refutations, orders written twice.

Nothing that schedules imports it; a scheduler loads a baseline by the name in its settings.
"""
