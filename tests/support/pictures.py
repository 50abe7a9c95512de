"""What can be said of pictures without looking: texts on one another, words of legends."""

from __future__ import annotations

from typing import Any

from matplotlib.text import Text


def texts(figure: Any) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels."""
    figure.canvas.draw()
    hidden = beyond(figure)
    found = []
    for artist in figure.findobj(Text):
        if artist.get_visible() and artist.get_text().strip() and artist not in hidden:
            box = artist.get_window_extent()
            if box.width and box.height:
                found.append((artist.get_text(), box))
    return found


def beyond(figure: Any) -> set[Text]:
    """Labels of ticks outside of their panel's limits: axes keep them, and do not draw them."""
    found = set()
    for axes in figure.axes:
        for axis, low, high, side in (
            (axes.xaxis, axes.bbox.x0, axes.bbox.x1, "x"),
            (axes.yaxis, axes.bbox.y0, axes.bbox.y1, "y"),
        ):
            for tick in axis.majorTicks + axis.minorTicks:
                box = tick.label1.get_window_extent()
                middle = 0.5 * (getattr(box, side + "0") + getattr(box, side + "1"))
                if not low - 1.0 <= middle <= high + 1.0:
                    found |= {tick.label1, tick.label2}
    return found


def overlaps(figure: Any, slack: float = 1.0) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than a strip of `slack` pixels."""
    boxes = texts(figure)
    return [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, other in boxes[i + 1 :]
        if min(one.x1, other.x1) - max(one.x0, other.x0) > slack
        and min(one.y1, other.y1) - max(one.y0, other.y0) > slack
    ]


def legends(figure: Any) -> list[str]:
    """Words of all legends."""
    everything = [*figure.legends, *(a.get_legend() for a in figure.axes)]
    return [word for legend in everything if legend for word in words(legend)]


def words(legend: Any) -> list[str]:
    """Of one legend."""
    return [t.get_text() for t in legend.get_texts()]
