"""Labels that lie over nothing: beside their marks, or in the margin with a leader.

The browser is not asked: the limits of each axis are set, so a label's pixel is known, and so is what it would touch.
"""

from collections.abc import Sequence

import msgspec

from farthing.reports.index_chart_parts import FONT, GAP, PAGE, Spec, colour, raw

_LETTER = 0.55  # width of a letter over the size of its font, on average


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a label stands, in pixels of the plot."""

    x: float
    y: float
    align: str


def text_width(text: str, size: float = FONT) -> float:
    """The width of `text` in pixels, about: enough to know what would touch."""
    return len(text) * size * _LETTER


def apart(wanted: Sequence[float], length: float, gap: float = GAP) -> list[float]:
    """Places near `wanted` (in its order), at least `gap` apart and within 0 … `length` where there is room.

    Neighbours that would touch form a block, which is centred on what its members want (pool adjacent violators).
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, int]] = []  # (sum of wanted starts, members)
    for i in order:
        block = (wanted[i], 1)
        while blocks:
            total, members = blocks[-1]
            if total / members + members * gap <= block[0] / block[1]:
                break
            blocks.pop()
            # The newer block's members stand `members * gap` below the older one's start.
            block = (total + block[0] - block[1] * members * gap, members + block[1])
        blocks.append(block)
    placed: list[float] = []
    for total, members in blocks:
        placed += [total / members + gap * step for step in range(members)]
    for step in range(len(placed)):  # into the plot: first from above, then from below
        placed[step] = max(placed[step], placed[step - 1] + gap if step else 0.0)
    for step in reversed(range(len(placed))):
        bound = placed[step + 1] - gap if step + 1 < len(placed) else max(length, gap * (len(placed) - 1))
        placed[step] = min(placed[step], bound)
    made = [0.0] * len(wanted)
    for place, i in zip(placed, order, strict=True):
        made[i] = place
    return made


_AROUND: tuple[tuple[float, float, str], ...] = (
    (8, 0, "left"), (0, -12, "center"), (0, 12, "center"), (-8, 0, "right"),
    (6, -10, "left"), (6, 10, "left"), (-6, -10, "right"), (-6, 10, "right"), (-2, -12, "right"), (2, 12, "left"),
    (14, -20, "left"), (-14, 20, "right"), (0, -24, "center"), (0, 24, "center"), (0, -36, "right"), (0, 36, "left"),
)  # fmt: skip
"""Where a label may stand, from its mark: nearest first."""
Box = tuple[float, float, float, float]


def beside(
    points: Sequence[tuple[float, float, str]],
    width: float,
    height: float,
    marks: Sequence[tuple[float, float]] = (),
    lines: Sequence[Box] = (),
) -> list[Place | None]:
    """A place for the label of each point (x, y, text), most important first: None where there is no room for it.

    A label lies over no other label, and over no mark (x, y) but its own, which it stands beside. It keeps off the
    lines (x, y, x, y: level or upright, or short) where it can, and lies on one where it cannot.
    """
    taken: list[Box] = []
    dots = [*((x, y) for x, y, _ in points), *marks]
    drawn = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in lines]
    made: list[Place | None] = []
    for x, y, text in points:
        found = None
        for obstacles in (drawn, []):
            for dx, dy, align in _AROUND:
                box = _box(x + dx, y + dy, text, align)
                inside = min(box) >= 0 and box[2] <= width and box[3] <= height
                free = not any(_touch(box, other) for other in (*taken, *obstacles))
                clear = not any(_touch(box, (a - 2, b, a + 2, b)) for a, b in dots if (a, b) != (x, y))
                if inside and free and clear:
                    found = Place(x=x + dx, y=y + dy, align=align)
                    taken.append(box)
                    break
            if found:
                break
        made.append(found)
    return made


def _box(x: float, y: float, text: str, align: str) -> Box:
    wide = text_width(text) + 2
    left = x - {"left": 0.0, "right": wide, "center": wide / 2}[align]
    return (left, y - 6.5, left + wide, y + 6.5)


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def labels(texts: Sequence[str], places: Sequence[Place | None], colours: Sequence[str] | None = None) -> list[Spec]:
    """The text marks at their pixels."""
    layers: list[Spec] = []
    for align in ("left", "right", "center"):
        rows = [
            {"px": place.x, "py": place.y, "label": text, "ink": colours[i] if colours else "currentColor"}
            for i, (text, place) in enumerate(zip(texts, places, strict=True))
            if place is not None and place.align == align
        ]
        # Under each text a broad one in the colour of the page: what it lies on stays behind it.
        for halo in ({"stroke": PAGE, "strokeWidth": 4, "strokeJoin": "round", "opacity": 0.85}, {}) if rows else ():
            layers.append({
                "data": {"values": rows},
                "mark": {"type": "text", "align": align, "baseline": "middle", "fontSize": FONT, "limit": 400, **halo},
                "encoding": {"x": raw("px"), "y": raw("py"), "text": {"field": "label", "type": "nominal"},
                             "color": {"value": PAGE} if halo else colour()},
            })  # fmt: skip
    return layers


def end_labels(ends: Sequence[tuple[float, float, str, str]], x: float, height: float, gap: float = GAP) -> list[Spec]:
    """Labels of lines in the margin at `x`, each (x, y of the line's end, text, colour), with a leader where moved."""
    if not ends:
        return []
    ends = [(px, min(max(py, 0.0), height), text, ink) for px, py, text, ink in ends]
    placed = apart([end[1] for end in ends], height, gap)
    leaders = [
        {"px": end[0] + 3, "py": end[1], "qx": x + 12, "qy": y, "ink": end[3]}
        for end, y in zip(ends, placed, strict=True)
    ]
    places = [Place(x=x + 15, y=y, align="left") for y in placed]
    return [
        {
            "data": {"values": leaders},
            "mark": {"type": "rule", "strokeWidth": 1, "opacity": 0.55},
            "encoding": {"x": raw("px"), "y": raw("py"), "x2": {"field": "qx"}, "y2": {"field": "qy"},
                         "color": colour()},
        },
        *labels([end[2] for end in ends], places),
    ]  # fmt: skip
