"""Signals in blocks that must not be broken off."""

import os
import signal

import pytest

from virnucpro_kernels.embed.stopping import unbroken


def interrupt_and_go_on(done: list[str]) -> None:
    with unbroken():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("the block")
    done.append("what follows")


def test_a_signal_acts_at_the_end_of_an_unbroken_block() -> None:
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    done: list[str] = []
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt_and_go_on(done)
        assert done == ["the block"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, earlier)
