# pyright: basic
"""Streams of tokens: the output of single requests, as it comes.

Guarantees: a stream yields all output of its own request in order, no matter which stream or call
steps the engine, and takes none from a caller of `Engine.step`. A stream that is closed, left or
dropped before its end aborts its request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from lineclear_gpu.engine import Engine
from lineclear_gpu.outputs import Delta, RequestOutput


class TokenStreams:
    """Steps an engine, and keeps the output of each open stream until it is read.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: Engine) -> None:
        """No stream is open."""
        self.engine = engine
        self.unread = engine.results.unread

    def open(self, output: RequestOutput) -> TokenStream:
        """A stream of a live request."""
        self.unread[output.request_id] = deque()
        return TokenStream(self, output)

    def step(self) -> None:
        """Steps the engine once; output of requests without a stream stays for `Engine.step`."""
        self.engine.results.keep(self.engine.step())

    def finish(self, outputs: list[RequestOutput]) -> None:
        """Steps until these requests have ended; aborts those that have not if that is interrupted."""
        left = list(outputs)
        names = [output.request_id for output in outputs]
        self.unread.update((name, deque(maxlen=0)) for name in names)
        try:
            while left:
                if left[-1].finished:
                    left.pop()
                else:
                    self.step()
            while self.engine.flights and not self.engine.live:
                self.step()  # steps that were launched before their requests ended
        except BaseException:
            for output in outputs:
                self.abort(output)
            raise
        finally:
            self.collect()
            for name in names:
                del self.unread[name]

    def abort(self, output: RequestOutput) -> None:
        """Aborts a request that has not ended."""
        if self.engine.output_of(output.request_id) is output:
            self.engine.abort(output.request_id)

    def collect(self) -> None:
        """Delivers output that no step has returned yet, of requests that were aborted."""
        self.engine.results.keep(self.engine.results.take())


class TokenStream(Iterator[Delta]):
    """The output of one request; also a context manager, which closes it.

    Args:
        streams: deliver the output.
        output: of the request.
    """

    def __init__(self, streams: TokenStreams, output: RequestOutput) -> None:
        """Nothing has been read."""
        self.output = output
        self._streams = streams
        self._unread = streams.unread[output.request_id]

    def __next__(self) -> Delta:
        """The next output; steps the engine until there is some."""
        while not self._unread:
            if self.output.finished:
                self._streams.collect()
                if not self._unread:
                    self.close()
                    raise StopIteration
            else:
                self._streams.step()
        return self._unread.popleft()

    def close(self) -> None:
        """Ends the stream; its request is aborted if it has not ended."""
        name = self.output.request_id
        self._streams.abort(self.output)
        if self._streams.unread.get(name) is self._unread:
            self._streams.collect()
            del self._streams.unread[name]
        self._unread.clear()

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
