"""DATABASE_URL as users write it: what is refused, and how it may be shown.

completing    checking ◀─ masking
"""

from kronii.address.checking import checked_address, looks_like_address
from kronii.address.completing import completed
from kronii.address.masking import (
    MASK,
    masked,
    misplaced,
    secret_spans,
    without_secrets,
    without_userinfo,
)

__all__ = [
    "MASK",
    "checked_address",
    "completed",
    "looks_like_address",
    "masked",
    "misplaced",
    "secret_spans",
    "without_secrets",
    "without_userinfo",
]
