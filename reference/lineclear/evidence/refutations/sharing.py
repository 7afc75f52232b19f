"""P12 fails: of two tenants that both wait all the time, one is served far more than the other.

Guarantees: service is counted from the plans, prompts once and samples as they are computed, at
the prices that the virtual token counter has by default.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from lineclear.evidence.refutations.drive import Drive, NotShown, Refutation
from lineclear.evidence.refutations.ordering import ROWS

SEATS, PROMPT, OUTPUT, REQUESTS = 2, 8, 4, 24
PROMPT_PRICE, OUTPUT_PRICE = 1, 2
#: What one tenant has charged at most: a prompt, and all samples of as many requests as may run.
MOST = PROMPT_PRICE * PROMPT + OUTPUT_PRICE * SEATS * OUTPUT
FAIR = frozenset({"vtc", "drr"})


def flood(drive: Drive) -> tuple[str, dict[str, Any]]:
    """One tenant sends all its requests, then the other sends as many of the same."""
    for tenant in ("first", "second"):
        for k in range(REQUESTS):
            drive.add((tenant, k), PROMPT, OUTPUT, tenant=tenant)
    served = {"first": 0, "second": 0}
    begun: set[Hashable] = set()
    most = steps = 0
    while True:
        row = drive.step()
        for name, tokens in row.tokens.items():
            tenant = name[0]  # type: ignore[index]
            if name not in begun:
                begun.add(name)
                served[tenant] += PROMPT_PRICE * PROMPT
            served[tenant] += OUTPUT_PRICE * (tokens >= 1)
        left = {t: sum((t, k) not in begun for k in range(REQUESTS)) for t in served}
        if not all(left.values()):
            break
        steps = len(drive.rows)
        most = max(most, abs(served["first"] - served["second"]))
    if most <= 2 * MOST:
        raise NotShown(f"the services differ by {most}, at most 2 U = {2 * MOST}")
    return (
        f"in {steps} steps in which both tenants wait, the service of one is up to {most} above "
        f"the other's; the bound 2 U is {2 * MOST}, and the gap grows with the requests that the "
        "first one sends",
        {"gap": most, "bound": 2 * MOST, "steps": steps},
    )


REFUTATIONS = tuple(
    Refutation(
        policy,
        "P12",
        "a tenant that sends many requests at once keeps another one waiting",
        replace(config, max_num_seqs=SEATS),
        flood,
    )
    for policy, config in ROWS.items()
    if policy not in FAIR
)
