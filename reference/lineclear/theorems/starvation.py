"""Bounds the number of steps that a request takes once it is the first in the order.

Guarantees: the figure follows from settings and sizes alone, by the argument below, and it counts
steps that are issued.

P1 to P13 are the properties of docs/policies.md, F1 to F13 and A1 to A4 the premises of
`lineclear_spec/liveness/premises.py`; T1 and C6 are the bounds that are made here.

The argument rests on the theorem P6b and its premises, F5 among them: in each step every decode
gets its token and prompts are dealt all that is left of the budget, in the order. S are the seats,
B the budget of a step, b = 1 + num_lookahead_slots, d the steps in flight; L, m and n the tokens,
generated tokens and sequences of the largest request. Let r be the first unfinished one in the order.

*While r waits* no request enters, so what the running sequences still lack of their prompts (all that is
known and not computed, beyond one token) only falls. It is W at most: L - 1 in each seat, and, if
no request has several sequences, no more than the pool has room for. A sequence that lacks some takes a
seat that does not decode, so such a step has g = B - (S - 1) * b tokens for prompts, or more: it
spends them, or nothing is lacking afterwards but by branches that wait for their leader, for one more
step. So W // g + 1 steps at most end with something lacking before them; then each step takes
every sequence a token further, and m - 1 of these end all of them. No request runs then, and r fits (F1).

*While r runs* its prompt is dealt first: it lacks X = n * (L - 1) at most and gets h a step. h is g, or the limit
on one prompt if that is less (`lineclear prove decisions`: "with chunking the first prompt gets the least of what it
lacks, its limit and what decodes leave"), or with a policy that shares (`fair`) the share of one of N live requests.
X // h + 1 steps, and m - 1 more for the rest. Together W // g + X // h + 2 * m.

With several sequences, or two steps in flight, a few steps are lost at the edges of each part (2 * e
in all), and a sequence whose sample is in flight may be left out of every other step, so that all
counts d times. If prompts may not be cut, a request enters with all of its prompt computed, which
leaves W and X out; branches that compute theirs again after a preemption each wait until the decodes
beside them have ended, m steps, which happens at most once for each seat and each branch.

*A token* (P6a, with no premise on the order). Take steps in which no request keeps a token and no sequence
ends. No sequence decodes in them, so the first in the order of those that run, f, is dealt the whole budget:
it computes what it lacks, X at most, in C = (X - 1) // B + 1 steps. If prompts may not be cut, each of its n
sequences computes its prompt in one step, so C = n. No request enters meanwhile, because f
lacks tokens, and growth preempts only those behind f. Another can take the place of f only by displacing
f: as f takes all tokens, no other victims would leave a token. Then it comes before all that run, is not
displaced itself before it has kept a token, and is the first for C steps more. So C6 = 2 * C + 2 * d - 1
steps, of which d - 1 twice are steps issued before the one that samples is committed. Where the order changes
while requests run (mlfq), each change is a promotion, one for a request: 2 * S + 1 among those that run,
each of which may be followed by one displacement more, so that 3 * (S + 1) * (C + d) steps suffice.

*A token beside a limit.* With `long_prefill_token_threshold` others may enter while f lacks tokens. Each of them is
sheltered: it is not displaced before it has kept a token (F12). In such steps a prompt always lacks some, or it
samples; so each that enters is sheltered, and at most S victims are displaced, which ran before. Those that enter
beside a prompt have one sequence, which has all its blocks and takes none before it decodes, so none of them grows.
If no request has several sequences nothing grows, and at most E = 2 * S enter: as many as fit beside those that run,
and one for each victim. With several sequences those grow that ran before, or that displaced: S * n times at most,
each time with fewer than S victims, so E = 2 * S + n * S * S. The first that runs changes with each that enters, at
most; each is dealt its share, h, first, and keeps a token after C steps: (E + 1) * C + 2 * d - 1. Where the order
changes while requests run, each of the S + E that run is promoted once: (2 * E + S + 1) * (C + d). With shares
(`fair`) others may enter beside a prompt that lacks tokens whatever the limit. There no request displaces and the
order is that of arrival, so the first changes only when one enters that comes before it: such a one ran when it
entered (F2), so that it happens at most S times, each for C steps with h in the place of B. The same E bounds that.
*The first* loses nothing by those that enter beside it, which come behind it: it gets h a step, with the limit in h.

*With `wait_for_prefix`* a request that fits may wait, but only for one that runs before it in the order, so the first
waits for none, and nothing above changes: fewer enter, and none enters before one that waits but by `max_bypasses`.

A request that k others precede is the first after these have ended: (k + 1) times as many steps,
counted from when the last of the k has arrived. A failed copy starts the count anew (F8).
"""

from __future__ import annotations

from dataclasses import dataclass

from lineclear.config import Config


@dataclass(frozen=True, slots=True)
class Sizes:
    """The largest of what requests ask for.

    Attributes:
        tokens: L, of a sequence, its prompt included.
        prompt: tokens of the longest prompt.
        generated: m, tokens that a sequence generates, or may generate if that is not known.
        width: n, sequences of one request.
        requests: N, the most that may be live at once; None if unknown.
    """

    tokens: int
    prompt: int
    generated: int
    width: int
    requests: int | None = None


def steps_of_the_first(config: Config, sizes: Sizes, shares: bool = False) -> int:
    """T1: steps from when a request is the first in the order to its end, at most.

    Args:
        config: settings under which the theorem P6b holds.
        sizes: of all requests.
        shares: whether the policy deals out a step's tokens in equal shares.
    """
    found = letters(config, sizes, shares)
    depth, most = found["d"], found["m"] + found["e"]
    if not config.enable_chunked_prefill:
        rounds = 2 if sizes.width == 1 else found["S"] + found["n"] + 1
        return depth * rounds * most
    prompts = found["W"] // found["g"] + found["X"] // found["h"]
    return depth * (prompts + 2 * most)


def steps_to_a_token(
    config: Config, sizes: Sizes, shares: bool = False, changes: bool = False
) -> int:
    """C6: steps until some request keeps a token or some sequence ends, at most.

    Args:
        config: settings under which the theorem P6a holds.
        sizes: of all requests.
        shares: whether the policy deals out a step's tokens in equal shares.
        changes: whether the order may change while requests run.
    """
    found = letters(config, sizes, shares)
    own, depth, seats, enter = found["C"], found["d"], found["S"], found["E"]
    if limited(config) or shares:
        if changes:
            return (2 * enter + seats + 1) * (own + depth)
        return (enter + 1) * own + 2 * depth - 1
    if changes:
        return 3 * (seats + 1) * (own + depth)
    return 2 * own + 2 * depth - 1


def limited(config: Config) -> bool:
    """Whether others may enter while a prompt that runs lacks tokens."""
    return config.most_of_a_prompt < min(config.max_model_len, config.max_num_batched_tokens)


def formula_of_a_token(config: Config, shares: bool = False, changes: bool = False) -> str:
    """C6 as a formula, see `steps_to_a_token`."""
    if limited(config) or shares:
        return "(2 * E + S + 1) * (C + d)" if changes else "(E + 1) * C + 2 * d - 1"
    return "3 * (S + 1) * (C + d)" if changes else "2 * C + 2 * d - 1"


def letters(config: Config, sizes: Sizes, shares: bool = False) -> dict[str, int]:
    """The values of the letters of the module's text."""
    seats, width, budget = config.max_num_seqs, sizes.width, config.max_num_batched_tokens
    lacking = seats * (sizes.tokens - 1)
    if width == 1:
        lacking = min(lacking, config.num_gpu_blocks * config.block_size)
    dealt = own = budget - (seats - 1) * (1 + config.num_lookahead_slots)
    if shares:
        own = max(1, min(dealt, 1 if sizes.requests is None else budget // sizes.requests))
    each = budget if not shares else max(1, 0 if not sizes.requests else budget // sizes.requests)
    if limited(config):
        own, each = min(own, config.most_of_a_prompt), min(each, config.most_of_a_prompt)
    prompts = max(1, width * (sizes.tokens - 1))
    return {
        "C": (prompts - 1) // each + 1 if config.enable_chunked_prefill else width,
        "W": lacking,
        "g": dealt,
        "X": width * (sizes.tokens - 1),
        "h": own,
        "m": sizes.generated,
        "e": 2 if config.max_steps_in_flight > 1 else int(width > 1),
        "d": config.max_steps_in_flight,
        "S": seats,
        "n": width,
        "E": 2 * seats + (width * seats * seats if width > 1 else 0),
    }


def formula_of_the_first(config: Config, sizes: Sizes, shares: bool = False) -> str:
    """T1 as a formula, of those letters that count here."""
    found = letters(config, sizes, shares)
    most = "(m + e)" if found["e"] else "m"
    if not config.enable_chunked_prefill:
        total = f"{'2' if sizes.width == 1 else '(S + n + 1)'} * {most}"
        return f"d * {total}" if config.max_steps_in_flight > 1 else total
    total = f"W // g + X // {'h' if shares or found['h'] < found['g'] else 'g'} + 2 * {most}"
    return f"d * ({total})" if config.max_steps_in_flight > 1 else total
