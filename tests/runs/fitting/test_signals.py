"""Signals while a run is at work, handled by what a training is given."""

import os
import signal

import pytest

from vae_jax.runs.fitting.signals import Interrupted, stopping


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("error", [BrokenPipeError(), RuntimeError("reentrant call"), SystemExit(1)])
def test_a_stderr_that_cannot_be_written_does_not_end_what_is_to_be_saved(error):
    def say(text):
        raise error

    before = signal.getsignal(signal.SIGTERM)
    with stopping(say) as signals:
        signals.begin()
        send()
        assert signals.asked()
        with pytest.raises(Interrupted) as caught:
            signals.end()
    assert caught.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with stopping(print) as signals:
            signals.begin()
            send()
            assert not signals.asked()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_process_that_had_no_signal_ends_with_the_one_that_had():
    with stopping(print) as signals:
        signals.begin()
        with pytest.raises(Interrupted):
            signals.end(asked=True)
