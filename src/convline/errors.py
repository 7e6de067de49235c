"""Define the exceptions that are no bugs of Convline: a user's mistake, an interruption, a pruned run."""

import errno
import signal

# Signals that ask a run to save its state and stop: Ctrl-C, the end of a job, and what a scheduler can be asked to send
# some time before the end (`#SBATCH --signal`). Windows has no SIGUSR1 and SIGUSR2.
SCHEDULER_SIGNALS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *SCHEDULER_SIGNALS)


class UserError(Exception):
    """Report what the user can mend: the message says what came, what was expected and what to type instead.

    The command line shows the message alone, without a traceback, and exits with status 1.
    """


class Interrupted(BaseException):
    """Report that one of the `STOP_SIGNALS` asked the run to stop; its state is on disk.

    Not an `Exception`: code that survives failures must not survive this.

    Args:
        signum: the signal's number; the exit status is 128 + `signum`, as shells have it.
        hint: what to type to go on; empty if nothing was written yet.
        remark: a sentence on what goes on nevertheless; may be empty.
    """

    def __init__(self, signum: int, hint: str = "", remark: str = "") -> None:
        super().__init__(signum, hint, remark)
        self.signum = signum
        self.hint = hint
        self.remark = remark

    def __str__(self) -> str:
        to_type = f"\n  To go on, type: {self.hint}" if self.hint else ""
        return f"{self.cause}{to_type}"

    @property
    def cause(self) -> str:
        """Name the signal, and who sends it."""
        name = signal.Signals(self.signum).name
        sender = ", which a scheduler sends before the time limit" if self.signum in SCHEDULER_SIGNALS else ""
        return f"stopped by {name}{sender}"


class Pruned(Exception):  # noqa: N818  (no error: the search decided that the run is not worth going on with)
    """Report that the search ended this run early, since others did better at its age."""


FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk cannot be read or written",
    errno.EMFILE: "this process has too many open files (ulimit -n shows how many it may have)",
    errno.ENFILE: "the machine has too many open files",
    errno.ENOMEM: "memory ran out",
}
_OF_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "unable to mmap")


def machine_fault(error: BaseException) -> str | None:
    """Say what the machine lacked if that is what an error, or one that it follows from, is about: no bug."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.errno in FAULTS:
            where = f": {inner.filename}" if inner.filename else ""
            return f"{FAULTS[inner.errno]}{where}"
        if isinstance(inner, MemoryError) or any(text in str(inner) for text in _OF_MEMORY):
            return "memory ran out"
        if "can't start new thread" in str(inner):
            return "the system starts no further thread: its limit or its memory is used up (ulimit -u, ulimit -v)"
        inner = inner.__cause__ or inner.__context__
    return None


def user_error_in(error: BaseException) -> UserError | None:
    """The user's mistake that a library has wrapped in errors of its own, if there is one."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, UserError):
        inner = inner.__cause__ or inner.__context__  # OmegaConf hides the cause
    return inner
