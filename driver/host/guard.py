"""A process that holds filesystems frozen and lets go of them: run by freeze.py as a script, never imported by it.

    python -I -S guard.py SECONDS FD...

Each FD is an open directory of a filesystem. A byte on stdin starts the freeze, in parallel. It then says ``frozen``,
and holds on until stdin ends (``thawed``: our parent is done, or dead) or SECONDS have passed (``late``). If one
freeze fails, it thaws the others and says ``failed INDEX ERRNO``. These three are said last, when nothing is frozen.

It imports no more than this, so that it starts within 20 ms, and touches no file: a write could hang on what it froze.
"""

import _thread
import fcntl
import os
import select
import sys
import time

FIFREEZE = 0xC0045877
FITHAW = 0xC0045878


def main(seconds: float, fds: list[int]) -> str:
    """Freeze, hold, thaw; the last word. Never returns while a freeze is still under way."""
    if not os.read(0, 1):
        return "thawed"
    end = time.monotonic() + seconds
    done, tell = os.pipe()
    codes = [-1] * len(fds)

    def freeze(index: int) -> None:
        try:
            fcntl.ioctl(fds[index], FIFREEZE, 0)
            codes[index] = 0
        except OSError as error:
            codes[index] = error.errno or 5
        os.write(tell, b".")

    for index in range(len(fds)):
        _thread.start_new_thread(freeze, (index,))

    finished = 0
    word = ""
    while finished < len(fds):
        # With the last word known, only the freezes under way matter: each must be undone, however long it takes.
        waited = [done] if word else [done, 0]
        ready = select.select(waited, [], [], None if word else max(0.0, end - time.monotonic()))[0]
        if done in ready:
            finished += len(os.read(done, len(fds)))
        else:
            word = "thawed" if ready else "late"
            thaw(fds, codes)
    for index, code in enumerate(codes):
        if code > 0 and not word:
            word = f"failed {index} {code}"
    if not word:
        os.write(1, b"frozen\n")
        word = "thawed" if select.select([0], [], [], max(0.0, end - time.monotonic()))[0] else "late"
    thaw(fds, codes)
    return word


def thaw(fds: list[int], codes: list[int]) -> None:
    """Undo the freezes that have succeeded so far; others may be somebody else's."""
    for index, fd in enumerate(fds):
        if codes[index] == 0:
            codes[index] = -1
            try:
                fcntl.ioctl(fd, FITHAW, 0)
            except OSError:
                continue


if __name__ == "__main__":
    os.write(1, main(float(sys.argv[1]), [int(fd) for fd in sys.argv[2:]]).encode() + b"\n")
    os._exit(0)
