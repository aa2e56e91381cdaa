"""DATABASE_URL as users write it: what is refused, and how it may be shown.

masking ◀─ checking
"""

from kronii.address.checking import checked_address
from kronii.address.masking import MASK, masked

__all__ = ["MASK", "checked_address", "masked"]
