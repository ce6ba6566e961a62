"""The main control: how much may be spent, and what that buys."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import slicer
from slicer.i18n import tr as _

from DynamicSegLib.budget import Budget, Unit
from DynamicSegLib.bundle import Bundle, CurvePoint
from DynamicSegLib.engine import Run
from DynamicSegLib.errors import BundleError
from DynamicSegLib.methods.mutualnet import front_curve, has_query_table
from DynamicSegLib.scene.chart import GIGA
from DynamicSegPanel.CurvePicture import Curve, curvePixmap

# The papers' rule, without a budget.
AUTOMATIC = "automatic"
USUAL_SLICES = 155
USUAL_SECONDS = 60.0
# A difference in Dice below this is none that anybody could see.
NOTICEABLE = 0.005
# Width of a stair's riser, in shares of the full effort.
STAIR = 1e-6
# By model and device.
SPEED_SETTING = "DynamicSeg/SecondsPerGigaMac/{model}/{device}"


class BudgetControl:
    """A slider with its unit, the quality-cost curve with the chosen point, and the forecast in words.

    The curve is the model's own until the router has looked at the scan; from then on it is this scan's. Where one
    network is chosen for the whole scan, it is the front of the model's query table: a stair, a step a network.
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None], onPerVolume: Callable[[], None]) -> None:
        self._ui, self._onChanged = ui, onChanged
        self._bundle: Bundle | None = None
        self._device = "auto"
        self._slices = USUAL_SLICES
        self._curve: Curve | None = None
        # What the user asked for: kept where another scan or model changes what the full effort is.
        self._asked, self._askedUnit = 40.0, Unit.SHARE.value
        self._updating = False
        self._nothingToFind = False
        titles = {
            Unit.SHARE.value: _("% of full effort"),
            Unit.MACS.value: _("GMAC"),
            Unit.SECONDS.value: _("seconds"),
            AUTOMATIC: _("as the model decides"),
        }
        for unit, title in titles.items():
            ui.unitSelector.addItem(title, unit)
        ui.unitSelector.connect("currentIndexChanged(int)", self._onUnit)
        ui.budgetSlider.connect("valueChanged(double)", self._onValue)
        ui.perVolumeCheckBox.visible = False
        ui.perVolumeCheckBox.connect("toggled(bool)", lambda checked: onPerVolume())

    @property
    def unit(self) -> str:
        return str(self._ui.unitSelector.itemData(self._ui.unitSelector.currentIndex))

    @property
    def value(self) -> float:
        """The budget's number in its unit."""
        return float(self._ui.budgetSlider.value)

    @property
    def perVolume(self) -> bool:
        """Whether one network is to be chosen for the whole scan."""
        return self._bundle is not None and has_query_table(self._bundle) and bool(self._ui.perVolumeCheckBox.checked)

    def budget(self) -> Budget | None:
        """What the library takes; None for the papers' rule."""
        if self.unit == AUTOMATIC:
            return None
        scale = {Unit.SHARE.value: 0.01, Unit.MACS.value: GIGA, Unit.SECONDS.value: 1.0}[self.unit]
        return Budget(self.value * scale, Unit(self.unit))

    def restore(self, unit: str, value: float) -> None:
        """Shows a budget that was saved with the scene."""
        place = self._ui.unitSelector.findData(unit)
        if place < 0:
            return
        self._updating = True
        self._ui.unitSelector.currentIndex = place
        self._updating = False
        self._asked, self._askedUnit = value, unit
        self._place()

    def setBundle(self, bundle: Bundle | None, device: str) -> None:
        """Follows the chosen model and what it runs on."""
        self._bundle, self._device = bundle, device
        self._ui.perVolumeCheckBox.visible = bundle is not None and has_query_table(bundle)
        self._curve = self._modelCurve()
        self._place()

    def setRun(self, run: Run | None, slices: int | None = None) -> None:
        """Follows the scan: its number of slices, and its own curve as soon as the router has seen it."""
        self._slices = slices or USUAL_SLICES
        self._nothingToFind = run is not None and not run.route().area.any()
        if self._nothingToFind:
            self._curve = None
        elif run is not None and not self.perVolume:
            self._curve = _curveOf(run.curve())
        else:
            self._curve = self._modelCurve()
        self._place()

    def learnSpeed(self, seconds: float, macs: int) -> None:
        """Remembers how fast this computer was with this model and device, for the next forecast."""
        if macs > 0:
            slicer.app.userSettings().setValue(self._speedSetting, seconds / (macs / GIGA))
            self._describe()

    @property
    def _share(self) -> float:
        """The budget as a share of the full effort, 0..1."""
        return min(1.0, self._asked / self._full(self._askedUnit))

    @property
    def _speedSetting(self) -> str:
        return SPEED_SETTING.format(model=self._bundle.name if self._bundle else "", device=self._device)

    @property
    def _speed(self) -> float:
        """Seconds for a billion multiply-accumulates, or 0 before the first run."""
        return float(slicer.util.settingsValue(self._speedSetting, 0.0, converter=float))

    def _modelCurve(self) -> Curve | None:
        if self._bundle is None:
            return None
        if self.perVolume:
            with suppress(BundleError):  # told as soon as the table is needed
                return _stairOf(front_curve(self._bundle))
        return _curveOf(self._bundle.curve)

    def _onUnit(self, place: int) -> None:
        if not self._updating:
            self._asked, self._askedUnit = self._share * self._full(self.unit), self.unit
            self._place()
            self._onChanged()

    def _onValue(self, value: float) -> None:
        if not self._updating:
            self._asked = value
            self._describe()
            self._onChanged()

    def _full(self, unit: str) -> float:
        """What the costliest network on every slice takes, in a unit."""
        if unit in (Unit.SHARE.value, AUTOMATIC) or self._bundle is None:
            return 100.0
        costs = self._bundle.bank.costs(self._bundle.input.size)
        giga = max(cost.macs for cost in costs) * self._slices / GIGA
        if unit == Unit.MACS.value:
            return giga
        return giga * self._speed if self._speed else USUAL_SECONDS

    def _place(self) -> None:
        """Gives the slider the range of its unit, and the asked budget as far as it lies within."""
        full, slider = self._full(self.unit), self._ui.budgetSlider
        self._updating = True
        slider.enabled = self._bundle is not None and self.unit != AUTOMATIC
        slider.decimals = 0 if full >= 20 else 1
        slider.singleStep = full / 100
        slider.minimum = full / 100
        slider.maximum = full
        slider.value = self._asked
        self._updating = False
        self._describe()

    def _describe(self) -> None:
        label = self._ui.forecastLabel
        self._ui.curveLabel.visible = self._curve is not None and self.unit != AUTOMATIC
        if self.unit == AUTOMATIC:
            label.text = (
                _("The model's best network runs on every slice.")
                if self.perVolume
                else _("The model decides slice by slice what is worth its cost, as it was trained to.")
            )
            return
        sentences = [_("The model sees nothing to segment in this scan.")] if self._nothingToFind else []
        if self._curve is not None:
            self._ui.curveLabel.setPixmap(curvePixmap(self._curve, self._share, self._ui.curveLabel))
            sentences.append(_qualityInWords(self._curve.at(self._share), self._curve.at(1.0)))
        sentences.append(self._timeInWords())
        label.text = " ".join(sentences)

    def _timeInWords(self) -> str:
        if not self._speed:
            return _("How long it takes is known after the first run on this computer.")
        seconds = self._share * self._full(Unit.MACS.value) * self._speed
        return _("About {seconds} s on this computer.").format(seconds=max(1, round(seconds)))


def _qualityInWords(quality: float, best: float) -> str:
    loss = best - quality
    if loss < NOTICEABLE:
        return _("Expected agreement with an expert (Dice) {quality}: as good as this model gets.").format(
            quality=f"{quality:.2f}"
        )
    return _("Expected agreement with an expert (Dice) {quality}, {loss} below this model's best.").format(
        quality=f"{quality:.2f}", loss=f"{loss:.2f}"
    )


def _curveOf(points: Sequence[CurvePoint]) -> Curve | None:
    """The measured quality where there is one, else the predicted."""
    if len(points) < 2:
        return None
    ascending = sorted(points, key=lambda point: point.share)
    return Curve(
        [point.share for point in ascending],
        [sum(p.measured.values()) / len(p.measured) if p.measured else p.predicted for p in ascending],
    )


def _stairOf(front: Sequence[CurvePoint]) -> Curve:
    """Quality stays that of one network until the budget buys the next."""
    shares, qualities = [0.0], [0.0]
    for point in front:
        shares += [point.share - STAIR, point.share]
        qualities += [qualities[-1], point.predicted]
    return Curve([*shares, 1.0], [*qualities, qualities[-1]])
