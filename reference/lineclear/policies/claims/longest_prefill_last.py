"""What is claimed of the policy in `policies/longest_prefill_last.py`: theorems, and the facts that they rest on."""

from __future__ import annotations

from lineclear.policies.claims import sjf
from lineclear.policies.longest_prefill_last import LongestPrefillLast
from lineclear_spec.liveness.theorems import (
    Claims,
    Fact,
    Theorem,
    claim,
    ends_by,
    of_any_order,
    unchecked,
)

# A length is that of the prompt here: what is said of lengths is what is said of jobs.
SHORTER = Fact(
    "a request with a shorter prompt comes before, however late it arrives", sjf.SHORTER.predicate
)
POSITIVE = Fact("a prompt is at least 1 token", lambda first, _, __: first.prompt_tokens >= 1)
NO_LONGER = Fact("no request comes before one with a shorter prompt", sjf.NO_LONGER.predicate)
OVERTAKEN = Fact(
    "a request that comes before arrived before the other's prompt was over",
    sjf.OVERTAKEN.predicate,
)

claim(
    Claims(
        "lpl",
        lambda _: LongestPrefillLast(),
        (
            *of_any_order("lpl", ("a prompt is", "no request comes before one with a shorter")),
            Theorem(
                "lpl.P7",
                "a request may wait for ever: any number of later ones with a shorter prompt go "
                "before it",
                (),
                ("order_lpl/progress/a request with a shorter prompt",),
                "No starvation",
                holds=False,
            ),
        ),
        (SHORTER, POSITIVE, NO_LONGER),
    )
)
claim(
    Claims(
        "lpl_aging",
        lambda unknowns: unchecked(
            LongestPrefillLast, aged=True, seconds_per_token=unknowns.real("seconds_per_token")
        ),
        (
            *of_any_order("lpl_aging", ("a request that comes before arrived before",), ("A1",)),
            ends_by("lpl_aging", "a request that comes before arrived before", ("A1",)),
            Theorem(
                "lpl_aging.P9",
                "only requests that arrive within (its prompt - theirs) * seconds_per_token after a "
                "request can go before it",
                ("F2", "F4", "A5"),
                ("order_lpl_aging/progress/a request that comes before arrived before",),
                "No starvation",
            ),
        ),
        (OVERTAKEN,),
    )
)
