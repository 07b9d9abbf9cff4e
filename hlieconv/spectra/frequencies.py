"""Frequency analysis: the lines of a quasi-periodic signal, to many more digits than a Fourier transform has."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from hlieconv.spectra.power import spacing_of
from systems.checks import check
from systems.dataset.times import clock_of

#: Lines that are close to each other are found by turns, at most so often.
REFINEMENTS = 50


def frequencies(array: xr.DataArray, count: int = 3, order: int = 3) -> xr.Dataset:
    """The strongest lines of a signal, f(t) = sum_k a_k exp(i w_k t), strongest first.

    Each frequency is where the windowed Fourier integral is largest, found between the points of a fast Fourier
    transform; what its line contributes is subtracted before the next one is sought, with all amplitudes fitted
    together. With the window (1 + cos)^p the error of a frequency falls as T^(-2 p - 2) with the length T of the
    signal, where that of a Fourier transform is 1 / T. A slow change of the frequencies of one orbit from one half of
    the time to the other is a sign of chaos.

    Source: Laskar (1990), Icarus 88, 266; Laskar (1999), in Hamiltonian Systems with Three or More Degrees of Freedom.

    Args:
        array: real or complex (such as ``q + 1j * p``), at equal intervals along the dim ``time``.
        count: how many lines; a real signal has each with both signs.
        order: p of the window; 1 resolves lines that are close, more is more accurate where they are not.

    Returns:
        ``angular_frequency`` and complex ``amplitude`` with the dim ``line`` in place of ``time``; the time of the
        amplitudes' phases is 0.

    Raises:
        ValueError: for gaps, fewer than 4 times, or intervals that are not equal.

    Example:
        >>> t = np.linspace(0, 100, 1001)
        >>> signal = np.exp(1.23456789j * t) + 0.1 * np.exp(-2.5j * t)
        >>> found = frequencies(xr.DataArray(signal, dims="time", coords={"time": t}), 2)
        >>> found.angular_frequency.values.round(7), abs(found.amplitude.values).round(6)
        (array([ 1.2345679, -2.5      ]), array([1. , 0.1]))
    """
    check("count", count, count >= 1, "at least 1 line")
    check("order", order, 0 <= order <= 10, "0 to 10")
    step, clock = spacing_of(array), clock_of(array)
    times, unit = clock.values, clock.attrs["units"]
    found = xr.apply_ufunc(
        lambda values: _lines(values, times, step, count, order),
        array,
        input_core_dims=[["time"]],
        output_core_dims=[["part", "line"]],
        vectorize=True,
    )
    rate = found.isel(part=0).real.assign_attrs(units=f"rad / {unit}", long_name="angular frequency")
    amplitude = found.isel(part=1).assign_attrs(units=array.attrs.get("units", "1"), long_name="amplitude")
    return xr.Dataset({"angular_frequency": rate, "amplitude": amplitude})


def _lines(signal: NDArray, times: NDArray, step: float, count: int, order: int) -> NDArray[np.complex128]:
    """Angular frequencies and amplitudes ``(2, line)``."""
    window = (1 + np.cos(np.pi * np.linspace(-1, 1, len(times)))) ** order
    window /= window.sum()
    left, rates = np.asarray(signal, complex), np.empty(0)
    amplitudes = np.empty(0, complex)
    for _ in range(count):
        rates = np.append(rates, _strongest(left, times, step, window))
        waves = np.exp(1j * times[:, None] * rates)
        # Where lines are far apart the window makes them nearly orthogonal: a small system, well conditioned.
        weighted = waves.conj().T * window
        amplitudes = np.linalg.lstsq(weighted @ waves, weighted @ signal, rcond=None)[0]
        left = signal - waves @ amplitudes
    for _ in range(REFINEMENTS if count > 1 else 0):  # each line again, beside all the others
        before = rates.copy()
        for k in range(count):
            others = np.delete(np.arange(count), k)
            waves = np.exp(1j * times[:, None] * rates)
            alone = signal - waves[:, others] @ amplitudes[others]
            rates[k] = _peak(alone, times, step, window, rates[k])
            waves = np.exp(1j * times[:, None] * rates)
            weighted = waves.conj().T * window
            amplitudes = np.linalg.lstsq(weighted @ waves, weighted @ signal, rcond=None)[0]
        if np.abs(rates - before).max() * np.ptp(times) < 1e-13:
            break
    order_of = np.argsort(-np.abs(amplitudes), kind="stable")
    return np.stack([rates[order_of].astype(complex), amplitudes[order_of]])


def _strongest(signal: NDArray, times: NDArray, step: float, window: NDArray) -> float:
    size = 2 * len(times)
    spectrum = np.abs(np.fft.fft(signal * window, size))
    direction = np.sign(times[-1] - times[0])
    return _peak(signal, times, step, window, direction * 2 * np.pi * np.fft.fftfreq(size, step)[spectrum.argmax()])


def _peak(signal: NDArray, times: NDArray, step: float, window: NDArray, near: float) -> float:
    """Where |sum window signal exp(-i w t)| is largest: a bounded search, then Newton on its derivative."""
    middle = times - times.mean()
    width = np.pi / (step * len(times))
    weighted = window * signal

    def size(rate: float) -> float:
        return -abs((weighted * np.exp(-1j * rate * middle)).sum())

    options = {"xatol": 1e-9 * width}
    found: Any = minimize_scalar(size, bounds=(near - width, near + width), method="bounded", options=options)
    rate = float(found.x)
    for _ in range(4):
        wave = weighted * np.exp(-1j * rate * middle)
        zeroth, first, second = wave.sum(), (-1j * middle * wave).sum(), (-(middle**2) * wave).sum()
        slope = 2 * (zeroth.conj() * first).real
        curvature = 2 * (abs(first) ** 2 + (zeroth.conj() * second).real)
        if not curvature < 0 or abs(slope / curvature) > width:
            break
        rate -= slope / curvature
    return rate
