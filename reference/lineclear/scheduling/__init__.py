"""How a scheduler is made of parts, each with one duty; `lineclear.scheduler` joins them.

A request passes them forward: queues, step, transitions, dispatch, commit.
"""
