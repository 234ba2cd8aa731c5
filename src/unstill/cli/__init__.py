"""The command line: ``unstill VERB``, one file a verb, parse → call → write.

Verbs are thin. They turn options into one call of the Python API, then report
the outcome: a short text for people, or one JSON object for programs
(``--json``). ``app`` holds the frame that every verb shares: exit codes,
errors without tracebacks, warnings, provenance. Heavy imports stay inside the
functions, so that ``unstill --help`` answers at once.
"""

from unstill.cli.app import main

__all__ = ["main"]
