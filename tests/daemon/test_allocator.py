"""The heaps of the C library in a process with many threads, as the library itself counts them."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import HANG_S

_CHILD = """
    import ctypes, sys, threading
    from syncd.daemon.allocator import share_heaps

    share_heaps()
    all_began = threading.Barrier(30)

    def work():
        held = [bytes(2_000) for _ in range(100)]
        all_began.wait()

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    library = ctypes.CDLL(None)
    library.fdopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(library.fdopen(1, b"w"))
    library.malloc_info(0, stream)
    library.fflush(stream)
"""


def heaps(**environment: str) -> int:
    """How many heaps a process has whose threads all held memory at a time."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_CHILD)],
        capture_output=True,
        timeout=HANG_S,
        check=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), **environment},
    )
    return found.stdout.count("<heap nr=")


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="no glibc, no heaps to count"
)
def test_threads_share_two_heaps() -> None:
    """However many threads held memory; who sets the number in the environment has that one."""
    assert heaps() == 2
    assert heaps(MALLOC_ARENA_MAX="3") == 3


_HOLES = """
    import os
    from pathlib import Path
    from syncd.daemon.allocator import give_back_memory

    def pages():
        return int(Path("/proc/self/statm").read_text().split()[1])

    blocks = [bytes(b"x" * 100_000) for _ in range(600)]
    del blocks[:-1]
    before = pages()
    give_back_memory()
    print((before - pages()) * os.sysconf("SC_PAGE_SIZE"))
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="no glibc, nothing to trim"
)
def test_holes_in_a_heap_are_given_back() -> None:
    """Of 60 MB that were freed below a block which is still held most goes back to the system."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_HOLES)],
        capture_output=True,
        timeout=HANG_S,
        check=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert int(found.stdout) > 50_000_000
