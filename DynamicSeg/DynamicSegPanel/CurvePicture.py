"""A small picture of the quality-cost curve with the chosen point on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

WIDTH, HEIGHT = 380, 132
LEFT, RIGHT, TOP, BOTTOM = 40, 22, 18, 26
LINE, FILL, AXIS = "#3b6fb5", "#dbe6f4", "#b8bec6"


@dataclass(frozen=True)
class Curve:
    """Quality, 0..1, that each share of the full effort, 0..1, can buy; shares ascend."""

    shares: Sequence[float]
    qualities: Sequence[float]

    def at(self, share: float) -> float:
        """Quality at a share, between the known points in a straight line."""
        if share <= self.shares[0]:
            return self.qualities[0]
        for place in range(1, len(self.shares)):
            if share <= self.shares[place]:
                before, after = self.shares[place - 1], self.shares[place]
                part = (share - before) / (after - before) if after > before else 1.0
                return self.qualities[place - 1] + part * (self.qualities[place] - self.qualities[place - 1])
        return self.qualities[-1]


def curvePixmap(curve: Curve, share: float, label: Any) -> "qt.QPixmap":
    """Draws the curve and a dot at `share`, with lines to both axes, for a label: in its text color, as sharp as it."""
    ratio = label.devicePixelRatioF()
    pixmap = qt.QPixmap(round(WIDTH * ratio), round(HEIGHT * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing, True)
    _drawArea(painter, curve)
    _drawAxes(painter, label.palette.color(qt.QPalette.WindowText))
    _drawPoint(painter, share, curve.at(share))
    painter.end()
    return pixmap


def _x(share: float) -> int:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT))


def _y(quality: float) -> int:
    return round(HEIGHT - BOTTOM - quality * (HEIGHT - TOP - BOTTOM))


def _drawArea(painter: "qt.QPainter", curve: Curve) -> None:
    line = qt.QPainterPath()
    points = [(_x(share), _y(quality)) for share, quality in zip(curve.shares, curve.qualities, strict=True)]
    line.moveTo(*points[0])
    for point in points[1:]:
        line.lineTo(*point)
    area = qt.QPainterPath(line)
    area.lineTo(points[-1][0], _y(0.0))
    area.lineTo(points[0][0], _y(0.0))
    area.closeSubpath()
    painter.fillPath(area, qt.QBrush(qt.QColor(FILL)))
    pen = qt.QPen(qt.QColor(LINE))
    pen.setWidth(2)
    painter.strokePath(line, pen)


def _drawAxes(painter: "qt.QPainter", text: "qt.QColor") -> None:
    painter.setPen(qt.QPen(qt.QColor(AXIS)))
    painter.drawLine(_x(0.0), _y(0.0), _x(1.0), _y(0.0))
    painter.drawLine(_x(0.0), _y(0.0), _x(0.0), _y(1.0))
    painter.setPen(qt.QPen(text))
    font = painter.font()
    font.setPixelSize(10)
    painter.setFont(font)
    for quality in (0.0, 0.5, 1.0):
        painter.drawText(12, _y(quality) + 4, f"{quality:.1f}")
    painter.drawText(LEFT - 28, 10, _("Dice"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        painter.drawText(_x(share) - (4 if share == 0.0 else 14), HEIGHT - BOTTOM + 13, f"{share:.0%}")


def _drawPoint(painter: "qt.QPainter", share: float, quality: float) -> None:
    guide = qt.QPen(qt.QColor(LINE))
    guide.setStyle(qt.Qt.DotLine)
    painter.setPen(guide)
    painter.drawLine(_x(share), _y(quality), _x(share), _y(0.0))
    painter.drawLine(_x(0.0), _y(quality), _x(share), _y(quality))
    painter.setPen(qt.QPen(qt.QColor("#ffffff")))
    painter.setBrush(qt.QBrush(qt.QColor(LINE)))
    painter.drawEllipse(_x(share) - 6, _y(quality) - 6, 12, 12)
