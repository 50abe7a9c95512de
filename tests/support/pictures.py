"""What can be said of pictures without looking: texts on one another, words of legends."""

from __future__ import annotations

from typing import Any

from matplotlib.text import Text


def texts(figure: Any) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels."""
    figure.canvas.draw()
    found = []
    for artist in figure.findobj(Text):
        if artist.get_visible() and artist.get_text().strip():
            box = artist.get_window_extent()
            if box.width and box.height and shown(artist):
                found.append((artist.get_text(), box))
    return found


def shown(artist: Any) -> bool:
    """Whether the panel of a tick's label draws it: labels outside of the limits are kept."""
    axes = artist.axes
    if axes is None or hasattr(axes, "zaxis"):
        return True
    box, panel = artist.get_window_extent(), axes.bbox
    x, y = 0.5 * (box.x0 + box.x1), 0.5 * (box.y0 + box.y1)
    if any(artist in (t.label1, t.label2) for t in axes.xaxis.majorTicks + axes.xaxis.minorTicks):
        return bool(panel.x0 - 1.0 <= x <= panel.x1 + 1.0)
    if any(artist in (t.label1, t.label2) for t in axes.yaxis.majorTicks + axes.yaxis.minorTicks):
        return bool(panel.y0 - 1.0 <= y <= panel.y1 + 1.0)
    return True


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
    return [t.get_text() for legend in everything if legend for t in legend.get_texts()]
