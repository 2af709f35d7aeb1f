"""Measures the delay of the event loop: see agent/delay.cjs. Blocking code has a thread of its own, and no loop."""

import time

TICK = 0.025  # s

_ticking = False
_noticed = [0, 0.0]  # number of ticks and sum of their delays in s, since the last report


def begin(loop, busy):
    """Starts the timer, at the start of a call. It runs while busy reports calls in progress."""
    global _ticking
    if _ticking:
        return
    _ticking = True
    _next(loop, busy)


def _next(loop, busy):
    loop.call_later(TICK, _tick, loop, busy, time.monotonic() + TICK)


def _tick(loop, busy, due):
    global _ticking
    _noticed[0] += 1
    _noticed[1] += max(0.0, time.monotonic() - due)
    if busy():
        _next(loop, busy)
    else:
        _ticking = False


def take():
    """Returns the measurements since the last call; None if there are none."""
    ticks, late = _noticed
    if ticks == 0:
        return None
    _noticed[:] = [0, 0.0]
    return {"ticks": ticks, "late": late * 1000}
