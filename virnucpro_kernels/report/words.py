"""Shares, times and enumerations as people write them."""

from collections.abc import Sequence


def percent(part: float, whole: float) -> str:
    """Return a share in percent; `0 %` of nothing."""
    share = 100 * part / whole if whole else 0
    return f"{share:.1f} %" if 0 < share < 99.95 else f"{share:.0f} %"


def joined(parts: Sequence[str]) -> str:
    """Return parts of a sentence as an enumeration, as in `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def seconds(number: float) -> str:
    """Return a time with its unit, as in `12.3 s`, `4.1 min` and `2.5 h`."""
    if number < 60:
        return f"{number:.1f} s"
    return f"{number / 60:.1f} min" if number < 3600 else f"{number / 3600:.1f} h"
