"""The fuzz lane: damaged and hostile inputs by number, run in worker processes under a watchdog.

``python -m tests.fuzz --cases 10000`` runs cases and prints a table of targets and outcomes;
``python -m tests.fuzz --only 1234`` runs one again. A case is made from its number alone.
"""
