# pyright: basic
"""The generator gives the published bits, and a key's numbers depend only on the key."""

from __future__ import annotations

import pytest
import torch

from lineclear_gpu.philox import philox, uniform

ONES = 0xFFFFFFFF


# The known answers that the authors publish with their library.
@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    k0, k1 = (torch.tensor([word]) for word in key)
    assert tuple(int(word) for word in philox((k0, k1), (c0, c1, c2, c3))) == wanted


def test_a_number_does_not_depend_on_its_neighbours() -> None:
    seeds = torch.tensor([3, -1, 3, 2**40, 3])
    sequences = torch.tensor([0, 0, 1, 0, -7])
    positions = torch.tensor([5, 5, 5, 5, 2**31])
    together = uniform(seeds, sequences, positions)
    for row in range(5):
        alone = uniform(seeds[row : row + 1], sequences[row : row + 1], positions[row : row + 1])
        assert torch.equal(alone, together[row : row + 1])
    assert len(set(together.tolist())) == 5


def test_every_part_of_the_key_matters() -> None:
    def at(seed: int, sequence: int, position: int) -> float:
        return float(uniform(*(torch.tensor([each]) for each in (seed, sequence, position))))

    base = at(1, 2, 3)
    others = {at(2, 2, 3), at(1 + 2**32, 2, 3), at(1, 3, 3), at(1, 2 + 2**32, 3), at(1, 2, 4)}
    assert len(others | {base}) == 6


def test_numbers_are_uniform() -> None:
    count = 1 << 16
    numbers = uniform(
        torch.full((count,), 11), torch.arange(count) % 64, torch.arange(count) // 64
    )
    assert 0.0 <= float(numbers.min())
    assert float(numbers.max()) < 1.0
    seen = torch.histc(numbers, bins=256, min=0.0, max=1.0)
    chi_square = float(((seen - count / 256) ** 2 / (count / 256)).sum())
    assert 180 < chi_square < 340  # 255 degrees of freedom: five standard deviations are 113
    pairs = torch.corrcoef(torch.stack((numbers[:-1], numbers[1:])))[0, 1]
    assert abs(float(pairs)) < 0.02
