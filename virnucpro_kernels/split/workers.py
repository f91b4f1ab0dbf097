"""Work shared out over processes, its results in order.

Each process is at one end of a socket. What passes through is a few megabytes a task, which the queues of the standard
library's pools move at several times the cost; and a socket ends when the process at its other end does, however that
dies. Large data are best in arrays, which are not copied on the way. The pools' way to start a process would also have
each load the whole command line first.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.sequences.arrays import Uint8s

#: Tasks that are under way for each process: enough that none waits for work, few enough for their memory.
_TASKS_PER_PROCESS = 3

#: A process is one thread: numpy's linear algebra starts more, which wait for work in a busy loop.
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")


def _send(peer: socket.socket, message: object) -> None:
    """Send a pickle. Arrays in it follow as they lie in memory, uncopied."""
    arrays: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    parts = [memoryview(data), *(array.raw() for array in arrays)]
    sizes = np.array([len(parts), *map(len, parts)], np.int64)
    peer.sendall(sizes.data)
    for part in parts:
        peer.sendall(part)


def _receive(peer: socket.socket) -> Any:
    """Return the next message; EOFError where the process at the other end is gone."""
    [count] = _read(peer, 8).view(np.int64)
    data, *arrays = [_read(peer, size) for size in _read(peer, 8 * count).view(np.int64)]
    return pickle.loads(data.data, buffers=arrays)


def _read(peer: socket.socket, count: int) -> Uint8s:
    bytes_read = np.empty(count, np.uint8)
    view = bytes_read.data
    while view:
        got = peer.recv_into(view, 0, socket.MSG_WAITALL)
        if not got:
            raise EOFError
        view = view[got:]
    return bytes_read


def _keep_freed_memory() -> None:
    """Have the allocator of glibc keep what is freed for the next task; to ask the system again each time costs 12 %.

    It returns large blocks at once, until one of nearly 32 MB was freed: then it knows better
    (`man mallopt`, M_MMAP_THRESHOLD). Other allocators are not impressed.
    """
    np.empty((1 << 25) - (1 << 16), np.uint8)


#: What a process runs; its arguments are a socket's number, and where modules are found.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from virnucpro_kernels.split import workers; workers.serve()"


def serve() -> None:
    """Work until the parent closes its end or dies."""
    _keep_freed_memory()
    peer = socket.socket(fileno=int(sys.argv[1]))
    try:
        while True:
            function, task = _receive(peer)
            try:
                answer: tuple[Any, Exception | None] = (function(task), None)
            except Exception as error:
                answer = (None, error)
            _send(peer, answer)
    except (EOFError, ConnectionError):
        return


class Workers:
    """`processes` processes that work while this one hands out and takes in; with 1, it does everything itself.

    A context manager. Functions, tasks, results and errors must be picklable, and functions not of the main module.
    """

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"{processes} processes: at least 1 is needed")
        self._number = processes
        self._processes: list[subprocess.Popen[bytes]] = []
        self._sockets: list[socket.socket] = []
        self._idle: SimpleQueue[socket.socket] = SimpleQueue()
        self._threads = ThreadPoolExecutor(processes)

    def __enter__(self) -> Self:
        _keep_freed_memory()
        # An interrupt is this process's to handle: the others inherit that they get none.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._number if self._number > 1 else 0):
                self._start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return self

    def _start(self) -> None:
        here, there = socket.socketpair()
        with there:
            number = there.fileno()
            command = [sys.executable, "-c", _PROGRAM, str(number), *sys.path]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[number], env=os.environ | _ALONE)
        self._processes.append(process)
        self._sockets.append(here)
        self._idle.put(here)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        for peer in self._sockets:
            peer.close()
        for process in self._processes:
            process.wait()

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[tuple[Context, Task]]
    ) -> Iterator[tuple[Context, Result]]:
        """Yield the context and `function(task)` of each of `tasks`, in their order.

        Tasks are taken as they are needed, so that memory holds a few of them a process at a time. A context stays in
        this process.

        Raises:
            VirnucproError: a process died.
        """
        if self._number == 1:
            yield from ((context, function(task)) for context, task in tasks)
            return
        pending: deque[tuple[Context, Future[Result]]] = deque()
        for context, task in tasks:
            pending.append((context, self._threads.submit(self._call, function, task)))
            if len(pending) >= _TASKS_PER_PROCESS * self._number:
                context, future = pending.popleft()
                yield context, future.result()
        for context, future in pending:
            yield context, future.result()

    def _call(self, function: Callable[[Task], Result], task: Task) -> Result:
        peer = self._idle.get()
        try:
            _send(peer, (function, task))
            result, error = _receive(peer)
        except (EOFError, ConnectionError) as lost:
            raise VirnucproError(
                "a worker process was killed, perhaps for lack of memory: use fewer threads or more memory"
            ) from lost
        finally:
            self._idle.put(peer)
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]
