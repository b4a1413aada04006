"""Let a program print where each of its threads stands when it is sent SIGUSR1."""

import faulthandler
import signal

if hasattr(signal, "SIGUSR1"):
    faulthandler.register(signal.SIGUSR1)
