"""Which request comes first under each policy, written a second time from what requests ask for.

Invariant: nothing here calls a policy; only the values of its parameters are read, so that a run can be
compared with what a policy says of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineclear.config import Config
from lineclear.theorems.bounds import predicted
from lineclear.workload.workload import Arrival

#: What comes first, by the policy's name: of an arrival, its number, the settings, the parameters.
ORDERS: dict[str, Callable[[Arrival, int, Config, Any], Any]] = {
    "fcfs": lambda a, k, c, p: 0,
    "fair": lambda a, k, c, p: 0,
    "vtc": lambda a, k, c, p: 0,
    "drr": lambda a, k, c, p: 0,
    "priority": lambda a, k, c, p: -a.priority,
    "hybrid": lambda a, k, c, p: -a.priority,
    "aging": lambda a, k, c, p: a.arrival_time - p.seconds_per_level * a.priority,
    "sjf": lambda a, k, c, p: predicted(c, a),
    "sjf_aging": lambda a, k, c, p: a.arrival_time + p.seconds_per_token * predicted(c, a),
    "lpl": lambda a, k, c, p: a.prompt_tokens,
    "lpl_aging": lambda a, k, c, p: a.arrival_time + p.seconds_per_token * a.prompt_tokens,
    "edf": lambda a, k, c, p: (1, 0) if a.deadline is None else (0, a.deadline),
    "ceiling": lambda a, k, c, p: k - p.ceiling * min(max(a.priority, 0), p.levels - 1),
}
#: Policies whose tenants have an order each.
TENANTS = ("vtc", "drr")
#: Policies in which a head start lets later arrivals go first.
HEAD_STARTS = ("aging", "sjf_aging", "ceiling")
#: Policies in which any number may go before one, so that to count them bounds nothing.
ENDLESS = ("priority", "hybrid", "sjf", "lpl")
