"""Greedy output against transformers' `generate`, token by token.

Guarantees: every prompt is compared up to its first divergence, or to its end. A divergence is
excused only where the reference's two best logits differ by less than the stated bound and the
found token is the second of them; every excused one is in the report.
"""
# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from lineclear_gpu.model import Model
from lineclear_gpu.plug import own_attention

Tokens = list[int]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the output of one prompt first differs.

    Attributes:
        prompt: index of the prompt.
        position: index of the generated token.
        expected: the reference's token, None if its text has ended.
        found: the other token, None if that text has ended.
        best: the reference's two best (token, logit) there, the best first.
    """

    prompt: int
    position: int
    expected: int | None
    found: int | None
    best: tuple[tuple[int, float], tuple[int, float]]

    @property
    def margin(self) -> float:
        """Difference between the best logit and the second."""
        return self.best[0][1] - self.best[1][1]

    def excused(self, bound: float) -> bool:
        """Whether a tie, within the bound, was decided the other way."""
        return self.margin < bound and self.found == self.best[1][0]

    def __str__(self) -> str:
        """One line of text."""
        (first, high), (second, low) = self.best
        return (
            f"prompt {self.prompt}, generated token {self.position}: {self.found} instead of "
            f"{self.expected}; the reference's best logits are {high:.6f} for {first} and "
            f"{low:.6f} for {second}, {self.margin:.2g} apart"
        )


@dataclass(slots=True)
class Parity:
    """Result of a comparison.

    Attributes:
        prompts: number of prompts compared.
        tokens: number of generated tokens that agree.
        bound: margin within which a divergence is excused.
        excused: divergences within the bound.
        wrong: the others.
    """

    prompts: int = 0
    tokens: int = 0
    bound: float = 0.0
    excused: list[Divergence] = field(default_factory=list)
    wrong: list[Divergence] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def __str__(self) -> str:
        """A line of figures, then a line for each divergence."""
        lines = [
            f"{self.prompts} prompts, {self.tokens} tokens agree, {len(self.excused)} divergences "
            f"excused (margin below {self.bound:g}), {len(self.wrong)} wrong"
        ]
        lines += [f"excused: {each}" for each in self.excused]
        lines += [f"wrong: {each}" for each in self.wrong]
        return "\n".join(lines)


def reference_tokens(model: Model, prompts: Sequence[Tokens], max_tokens: int) -> list[Tokens]:
    """Greedy output of `generate` for each prompt alone, with the library's own attention."""
    found: list[Tokens] = []
    with own_attention(model.module), torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([prompt], device=model.device)
            out = model.module.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=0,
            )
            found.append(out[0, len(prompt) :].tolist())
    return found


def best_two(model: Model, tokens: Tokens) -> tuple[tuple[int, float], tuple[int, float]]:
    """The reference's two best (token, logit) after these tokens."""
    with own_attention(model.module), torch.inference_mode():
        ids = torch.tensor([tokens], device=model.device)
        logits = model.module(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    values, indices = logits.float().topk(2)
    (high, low), (first, second) = values.tolist(), indices.tolist()
    return (first, high), (second, low)


def compare(
    model: Model,
    prompts: Sequence[Tokens],
    expected: Sequence[Tokens],
    found: Sequence[Tokens],
    bound: float = 0.0,
) -> Parity:
    """Compares outputs with the reference's.

    Args:
        model: gives the logits where two outputs differ.
        prompts: token ids.
        expected: the reference's outputs, one for each prompt.
        found: the outputs to compare, one for each prompt.
        bound: margin of logits below which a divergence is excused; 0 excuses none.
    """
    report = Parity(bound=bound)
    for index, (prompt, want, have) in enumerate(zip(prompts, expected, found, strict=True)):
        report.prompts += 1
        same = 0
        while same < min(len(want), len(have)) and want[same] == have[same]:
            same += 1
        report.tokens += same
        if same == len(want) == len(have):
            continue
        divergence = Divergence(
            index,
            same,
            want[same] if same < len(want) else None,
            have[same] if same < len(have) else None,
            best_two(model, [*prompt, *want[:same]]),
        )
        (report.excused if divergence.excused(bound) else report.wrong).append(divergence)
    return report
