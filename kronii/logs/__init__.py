"""Logs: one event is one line, whatever is in it, and no event ever stops or delays the scheduler.

Call sites read `log.info("run lost", job=name, run=run_id)`.  Formats: `text` for people, `logfmt`
and `json` for collectors, `journal` for systemd (priority prefix, no time of its own).  Where none
is chosen, stderr decides: the journal's socket, a terminal, or something else (`logfmt`).

    log ─▶ logging ─▶ handler ─▶ formats, masking
"""

from kronii.logs.handler import Handler, chosen, dropped, setup
from kronii.logs.log import LEVELS, Log

__all__ = ["LEVELS", "Handler", "Log", "chosen", "dropped", "setup"]
