"""The only way to wait in a test."""
import select
import time

from kit.paths import VARIANT

# Bounds say what hangs or what is promised, not how fast this machine is: sanitizers, other tests and other people's
# work take their share. A release build is held to them as they stand.
PATIENCE = 1 if VARIANT == "release" else 4


class TimedOut(AssertionError):
    pass


def patient(seconds):
    """The longest that something may take which is done within so many seconds."""
    return seconds * PATIENCE


def within(seconds, fn, *args, what=None, every=0.02, patience=PATIENCE):
    """Calls fn until it returns something true, and returns that. An exception of fn counts as "not
    yet"; the last one, or the last value, is told when the time is over. patience=1: it may well never be so."""
    seconds *= patience
    deadline = time.monotonic() + seconds
    while True:
        error = None
        value = None
        try:
            value = fn(*args)
        except Exception as e:  # noqa: BLE001  a service that is not there yet refuses connections
            error = e
        if value:
            return value
        if time.monotonic() >= deadline:
            name = what or getattr(fn, "__name__", "condition")
            raise TimedOut(f"{name}: not within {seconds} s; last: {error or value!r}") from error
        pause(every)


def passed(seconds, what):
    """Waits until so much time has gone by since now: the length of an outage, a sender's pause."""
    began = time.monotonic()
    within(seconds + 1, lambda: time.monotonic() - began >= seconds, what=what)


def pause(seconds):
    """A short rest between two looks; no test calls this."""
    select.select([], [], [], seconds)
