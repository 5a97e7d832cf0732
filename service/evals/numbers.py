"""Numbers as a reader takes them in. Ignores where they are written."""

from __future__ import annotations

import math


def format_number(value: float) -> str:
    """As many digits as a reader takes in: 0.794, 0.00091, 12.31, 1,204, 2.1e-05."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.0001:
        text = f"{size:.1e}"
    elif size < 10:
        text = f"{size:.{max(3, 1 - math.floor(math.log10(size)))}f}"
    elif size < 100:
        text = f"{size:.2f}"
    else:
        text = f"{size:,.1f}" if size < 1000 else f"{size:,.0f}"
    return f"−{text}" if value < 0 else text


def format_change(value: float) -> str:
    """A signed number; zero is "0"."""
    if value == 0:
        return "0"
    return ("+" if value > 0 else "") + format_number(value)


def format_seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if value < 10:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes == 0:
        return f"{seconds} s"
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
