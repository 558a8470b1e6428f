"""Functions that the job tests run in real child processes."""

import os
import signal
import time

from tuner.errors import BuildError


def double(n):
    print("doubling")
    return 2 * n


def cards_seen():
    from _asks_for_cards import SEEN

    return {"imported": SEEN, "job": os.environ.get("CUDA_VISIBLE_DEVICES")}


def raises_ours():
    raise BuildError("the outputs do not agree")


def raises_theirs():
    print("about to fail")
    raise ValueError("seven\nlines")


def dies():
    os.kill(os.getpid(), signal.SIGSEGV)


def sleeps(seconds):
    time.sleep(seconds)


def eats(megabytes):
    held = bytearray(megabytes * 1_000_000)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(30)


def leaves_a_child(path):
    import subprocess

    child = subprocess.Popen(["sleep", "60"])
    with open(path, "w") as stream:
        stream.write(str(child.pid))
    time.sleep(30)


def environment():
    return dict(os.environ)


def full_disk(out):
    with open("/dev/full", "w") as stream:
        stream.write("x" * 10_000)


def full_disk_behind_ours():
    """An engine's plug-in turns whatever goes wrong into a failed build."""
    try:
        full_disk("")
    except OSError as error:
        raise BuildError("the engine could not build it") from error


def full_disk_in_words():
    raise RuntimeError("I/O error: No space left on device (os error 28)")


def broken_stream(out):
    """Some engines only say that their stream broke."""
    raise BuildError("basic_ios::clear: iostream error")
