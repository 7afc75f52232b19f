"""Work on every core that this process may use, or on a Ray cluster.

Guarantees: results come in the order of the jobs, whichever backend computes them; who stops asking
ends the workers, at once; on a cluster a worker that dies costs its jobs another try and nothing
else. ray is imported only if it was chosen.

Processes are forked where the platform can, so that they begin with what this process has in memory, unless they are
to be fresh (`in_parallel`).
On a cluster every machine needs the same lineclear, and what jobs name has to be installed there.

Why not joblib (1.6 was tried): results have to be yielded while others are computed, which its forking
backend refuses, and it waits forever for a worker that died; its loky backend starts processes without
this one's memory, and drops results that come before an error.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Named = TypeVar("Named", bound=tuple[Any, ...])

BACKENDS = ("processes", "ray")
#: Tries of one job on a cluster, beyond the first, if its worker dies.
RETRIES = 3

chosen = ["processes"]
#: Called about once a second while a job is awaited, and then even a single job gets a process.
while_waiting: list[Callable[[], None]] = []
#: In a worker, what it calls for each job.
given: list[Callable[[Any], Any]] = []


@contextmanager
def on_backend(name: str) -> Generator[None]:
    """Work is done there inside the body.

    Raises:
        ValueError: there is no such backend.
        ModuleNotFoundError: ray is not installed.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r}; choose one of {', '.join(BACKENDS)}")
    if name == "ray":
        import_module("ray")  # says at once what is missing
    chosen.append(name)
    try:
        yield
    finally:
        chosen.pop()


def cores() -> int:
    """Cores that work is spread over: those that this process may use, or the cluster's."""
    if chosen[-1] == "ray":
        return max(1, int(cluster().cluster_resources().get("CPU", 1)))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_parallel(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int | None = None,
    *,
    fresh: bool = False,
) -> Iterable[Result]:
    """Results of the jobs in order; with one worker, or with one job that need not be fresh, in this process, unless
    something is to be done while waiting (`while_waiting`).

    Args:
        function: a function of a module, or a partial of one; each worker gets it once.
        jobs: one argument for each call.
        workers: processes at most; a cluster decides by itself how many of its workers it uses.
        fresh: whether each job gets a process that has done nothing before and has nothing of this one in memory, so
            that what a solver takes for a job depends on the job alone; not if the job is done in this process.
    """
    if chosen[-1] == "ray":
        yield from on_cluster(function, jobs, fresh)
        return
    count = min(len(jobs), workers or cores())
    here = count <= 1 and not (fresh and workers != 1)
    if not jobs or (here and not while_waiting):
        yield from map(function, jobs)
        return
    others = set(multiprocessing.active_children())
    with executor(count, function, fresh) as pool:
        try:
            # A worker is forked with the first job, and is not deaf to interrupts yet.
            with interrupts_wait():
                waiting = [pool.submit(work, job) for job in jobs]
            waiting.reverse()
            while waiting:
                yield awaited(waiting.pop())
        except BaseException:
            # Who waits for a job to end, or for its solver, waits for minutes; nothing is kept of it.
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            raise


def executor(count: int, function: Callable[[Any], Any], fresh: bool) -> ProcessPoolExecutor:
    """So many processes that call the function, each for one job only if they are to be fresh."""
    method = "forkserver" if fresh else "fork"
    known = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(method if method in known else "spawn")
    if fresh and method in known:  # the server imports once what each process needs
        context.set_forkserver_preload([getattr(function, "func", function).__module__])
    return ProcessPoolExecutor(
        count,
        mp_context=context,
        initializer=begin,
        initargs=(function,),
        max_tasks_per_child=1 if fresh else None,
    )


def rows_in_parallel(
    function: Callable[[Named], list[Result]],
    jobs: Sequence[Named],
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    fresh: bool = False,
) -> list[Result]:
    """The rows that the jobs answer with, in order; a job begins with its name.

    Args:
        function: as for `in_parallel`.
        jobs: one argument for each call.
        workers: processes at most.
        progress: called with the name of each job that is done.
        fresh: as for `in_parallel`.
    """
    rows: list[Result] = []
    for job, found in zip(jobs, in_parallel(function, jobs, workers, fresh=fresh), strict=True):
        rows.extend(found)
        if progress is not None:
            progress(job[0])
    return rows


@contextmanager
def interrupts_wait() -> Generator[None]:
    """An interrupt that comes inside the body is delivered after it; processes that begin there inherit that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def awaited(future: Future[Result]) -> Result:
    """The result of a job; meanwhile what is to be done while waiting is done, every second."""
    while while_waiting and not future.done():
        wait([future], timeout=1)
        for call in while_waiting:
            call()
    return future.result()


def begin(function: Callable[[Any], Any]) -> None:
    """A worker begins: it gets the function once, since a partial of one may carry much, and leaves Ctrl-C,
    which every process of a terminal gets, to the process that began the work.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    given.append(function)


def work(job: Any) -> Any:
    """One job, in a worker."""
    return given[-1](job)


def cluster() -> Any:
    """ray, connected to the cluster of RAY_ADDRESS, or to one on this machine that it starts."""
    ray: Any = import_module("ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    return ray


def on_cluster(
    function: Callable[[Job], Result], jobs: Sequence[Job], fresh: bool
) -> Iterator[Result]:
    """Results of the jobs in order; what is still to be computed is cancelled if the caller stops asking."""
    ray = cluster()

    def call(job: Job) -> Result:  # ray takes functions only, and `function` may be a partial
        return function(job)

    remote = ray.remote(max_retries=RETRIES, max_calls=int(fresh))(call)  # 0: as many as come
    waiting = [remote.remote(job) for job in jobs]
    try:
        while waiting:
            result: Result = ray.get(waiting[0])
            waiting.pop(0)
            yield result
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
