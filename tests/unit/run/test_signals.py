"""A signal whose handler needs a lock that the main thread holds."""

import subprocess
import sys

PROGRAM = """
import os, signal, threading, time
from virnucpro_kernels.run.signals import heed_in_thread
lock, heeded = threading.Lock(), threading.Event()
def handler(number, frame):
    with lock:
        heeded.set()
signal.signal(signal.SIGTERM, handler)
heed_in_thread(signal.SIGTERM)
with lock:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    assert not heeded.is_set()
assert heeded.wait(30)
"""


def test_a_handler_that_needs_a_lock_of_the_main_thread_waits_in_its_own() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
