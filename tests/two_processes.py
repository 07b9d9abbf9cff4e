"""For scripts that tests run: two processes, forked from one that has imported everything."""

import os
import signal
import sys


def fork_two(work, killed=None):
    """``work(number)`` of each; an error of one is an error here, after its traceback, but for one that is killed."""
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            try:
                work(number)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ends == [-signal.SIGKILL if number == killed else 0 for number in range(2)], ends
