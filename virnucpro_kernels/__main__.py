"""`python -m virnucpro_kernels` is the `virnucpro` command."""

import signal

# Until the command is imported an interrupt ends the process at once: one inside an import may be swallowed there, and
# leave Python's global lock of imports held (`embed.stopping.unbroken`).
_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _heeded:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from virnucpro_kernels.cli.main import main  # noqa: E402 after the signal is set

if _heeded:
    signal.signal(signal.SIGINT, signal.default_int_handler)

main()
