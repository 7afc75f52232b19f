"""Containers of a ledger against plain ones."""

from __future__ import annotations

import random
from collections import OrderedDict

from lineclear_spec.kernel.containers import SPARE, Resting
from lineclear_spec.kernel.records import GPU, Block, Request


def test_blocks_at_rest_are_those_of_an_ordered_dict() -> None:
    draw = random.Random(0)
    request = Request(1, 1, 2, 1)
    blocks = [Block(request, GPU, block_id) for block_id in range(60)]
    rest, wanted = Resting(), OrderedDict[Block, None]()
    rest.extend(blocks[:1])  # stays until late, so that entries behind it become stale
    wanted[blocks[0]] = None
    most = 0
    for turn in range(6000):
        idle = [block for block in blocks if block not in wanted]
        if idle and draw.random() < 0.5:
            more = draw.sample(idle, draw.randint(1, min(9, len(idle))))
            rest.extend(more)
            wanted.update(dict.fromkeys(more))
        elif others := list(wanted)[turn < 5000 :]:
            block = others[0] if draw.random() < 0.3 else draw.choice(others)
            rest.remove(block)
            del wanted[block]
        assert len(rest) == len(wanted)
        assert bool(rest) == bool(wanted)
        if turn % 5 == 0:
            assert list(rest) == list(wanted)
            newest = [block for block in rest.newest(rest.added) if block in wanted]
            assert newest == list(wanted)
        most = max(most, len(rest._entries))  # pyright: ignore[reportPrivateUsage]
    assert most <= 2 * len(blocks) + SPARE + 9
    assert most > SPARE  # stale entries were dropped


def test_the_newest_are_the_last_that_came_to_rest() -> None:
    request = Request(1, 1, 2, 1)
    one, two, three = (Block(request, GPU, block_id) for block_id in range(3))
    rest = Resting()
    rest.extend([one, two])
    seen = rest.added
    rest.extend([three])
    assert rest.newest(rest.added - seen) == [three]
    rest.remove(one)
    rest.extend([one])
    assert rest.newest(rest.added - seen) == [three, one]
    assert rest.newest(0) == []
