# pyright: basic
"""Takes a request in: checks it, and submits it to the scheduler, as one request or as several.

Guarantees: an invalid request is refused here, before any step sees it, and leaves nothing behind, neither
here nor in the scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial

from lineclear.request import Accepted, Rejected, Request
from lineclear.scheduler import Scheduler
from lineclear_gpu.block_names import BlockNames
from lineclear_gpu.outputs import Completion, RequestOutput
from lineclear_gpu.params import ParamsError, SamplingParams, shown, whole_numbers
from lineclear_gpu.section import EngineError
from lineclear_gpu.split import parts_of

#: Why a group is turned away although its sequences, one by one, may not be.
APART = ("num_gpu_blocks", "max_num_seqs")

Submit = Callable[[int, RequestOutput], Accepted | Rejected]


class Intake:
    """Takes requests in.

    Args:
        scheduler: where they wait.
        vocab_size: token ids are below it.
        texts: whether tokens are converted to text.
        names: of the blocks, None without prefix caching.
        split_groups: whether the sequences of a group that does not fit run as requests of their own.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        vocab_size: int,
        texts: bool,
        names: BlockNames | None,
        split_groups: bool,
    ) -> None:
        """Takes none yet."""
        self.scheduler = scheduler
        self.vocab_size = vocab_size
        self.texts = texts
        self.names = names
        self.split_groups = split_groups

    def take(
        self,
        request_id: Hashable,
        prompt_token_ids: Iterable[int],
        params: SamplingParams,
        prompt: str | None,
        tenant: Hashable,
        cache_salt: str | None,
    ) -> tuple[RequestOutput, list[RequestOutput], int]:
        """Submits a request.

        Args:
            request_id: as in `Engine.add`, like the others.
            prompt_token_ids: its prompt.
            params: how it is sampled.
            prompt: its text.
            tenant: whom its service is charged to.
            cache_salt: of the blocks that it shares.

        Returns:
            Its output, what each request has that runs for it, and the tokens that it may generate.

        Raises:
            EngineError: it is rejected; the message says why.
            InvalidRequest: a request with this id is live, or the id or tenant is not hashable.
        """
        tokens = self.checked(prompt_token_ids)
        if not isinstance(params, SamplingParams):
            raise EngineError(f"params must be SamplingParams, not {type(params).__name__}")
        if params.stops and not self.texts:
            raise EngineError(
                "stop texts need a tokenizer, and this model has none: use stop_token_ids"
            )
        if cache_salt is not None and not (isinstance(cache_salt, str) and cache_salt):
            raise EngineError(
                f"cache_salt must be a text that is not empty, or None, not {shown(cache_salt)}"
            )
        most = params.max_tokens
        if most is None:
            most = max(1, self.scheduler.config.max_model_len - len(tokens))

        def submit(
            n: int, part: RequestOutput, names: tuple[int, ...] = ()
        ) -> Accepted | Rejected:
            return self.scheduler.add(
                Request(
                    request_id=part.request_id,
                    prompt_tokens=len(tokens),
                    max_tokens=most,
                    n=n,
                    priority=params.priority,
                    arrival_time=time.monotonic(),
                    tenant=tenant,
                    prefix_names=names,
                )
            )

        def named(n: int, part: RequestOutput) -> Accepted | Rejected:
            if self.names is None or not params.share_prefix:
                return submit(n, part)
            return self.names.add(part.request_id, tokens, cache_salt, partial(submit, n, part))

        output = RequestOutput(request_id, prompt, tokens, list(map(Completion, range(params.n))))
        parts, answer = [output], named(params.n, output)
        if params.n > 1 and self.split_groups and not answer and answer.code in APART:
            parts = parts_of(output)
            answer = self._each(parts, named)
        if isinstance(answer, Rejected):
            raise EngineError(f"request {shown(request_id)} was rejected: {answer.reason}")
        return output, parts, most

    def _each(self, parts: list[RequestOutput], submit: Submit) -> Accepted | Rejected:
        """Submits all requests of a group or none; an answer that is a rejection, if there is one."""
        taken: list[Hashable] = []
        answer: Accepted | Rejected | None = None
        try:
            for part in parts:
                answer = submit(1, part)
                if not answer:
                    return answer
                taken.append(part.request_id)
        finally:
            if len(taken) < len(parts):
                for name in taken:
                    self.scheduler.abort(name)
                    if self.names is not None:
                        self.names.end(name)
        assert answer is not None
        return answer

    def checked(self, prompt_token_ids: Iterable[int]) -> list[int]:
        """The tokens of a prompt.

        Raises:
            EngineError: there is none, or one is no whole number or outside the vocabulary.
        """
        try:
            tokens = list(whole_numbers("prompt_token_ids", prompt_token_ids))
        except ParamsError as error:
            raise EngineError(str(error)) from None
        if not tokens:
            raise EngineError("an empty prompt: give at least one token")
        if not 0 <= min(tokens) <= max(tokens) < self.vocab_size:
            wrong = next(token for token in tokens if not 0 <= token < self.vocab_size)
            raise EngineError(
                f"token ids must lie in 0 to {self.vocab_size - 1}; {wrong} does not"
            )
        return tokens
