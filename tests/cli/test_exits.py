import errno
import sys
import threading

import pytest

from vae_jax.cli.exits import exit_in_a_line


@pytest.mark.parametrize("time", ["first", "again"])
def test_a_full_disk_is_the_last_word_of_a_command_and_silences_no_later_one(capsys, time):
    assert getattr(sys.unraisablehook, "__module__", None) != "vae_jax.cli.exits"
    with pytest.raises(SystemExit) as stop, exit_in_a_line("make room"):
        raise OSError(errno.ENOSPC, "No space left on device", "run/config.json")
    assert stop.value.code == 1
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == "error: run/config.json: No space left on device; make room\n"


def test_a_command_that_was_started_with_closed_streams_ends_well(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with exit_in_a_line():
        print("a line that nobody reads")
        print("another", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.close()
