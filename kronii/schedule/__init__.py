"""When a job is due: cron expressions in time zones, and what they mean where clocks change.

Expressions and ticks are read by ourselves: croniter counts the steps of a range that wraps wrongly
(`23-5/2`), and its next moment moves or doubles ticks at clock changes and costs 25 to 125
microseconds.  Where it is right, the tests hold us to it; where an `H` falls, it says itself.  The
rules, and where they are from:

- Six fields begin with the seconds; five are a crontab line at second 0; seven end with the year.
- Day-of-month and day-of-week: if neither begins with `*`, either matches; otherwise both must
  (crontab(5), Debian's cron).
- Fixed times (neither minute nor hour begins with `*`) fire once on each local day: in the spring
  gap at the first moment after it, in the autumn repeat at the first of the two.  Everything else
  follows elapsed time: both passes of a repeated hour, nothing for a gap (Debian's cron; cronsim
  does the same).

    text ─▶ fields ─▶ reading ─▶ expression ─▶ days, localtimes ─▶ ticks ─▶ zoned (Schedule)
                                         zonefiles ─▶ zones ─▶ ┴─▶ counting ─▶ ┘

A *moment* is a naive datetime in UTC.  A *local time* is a naive datetime as the clock of a zone
shows it: unique (one moment shows it), ambiguous (two do, the clock was set back) or missing (none
does, the clock was set forward), as PEP 495 calls them.
"""

from kronii.schedule.fields import ALIASES, LONGEST_EXPRESSION
from kronii.schedule.zoned import Schedule, forget_zones, schedule
from kronii.schedule.zonefiles import tzdata_version

__all__ = [
    "ALIASES",
    "LONGEST_EXPRESSION",
    "Schedule",
    "forget_zones",
    "schedule",
    "tzdata_version",
]
