"""SMA 20 and RSI 14 of the module `talib`, in the lines and with the closes of benches/src/bin/indicators.rs."""

import sys
import time

import numpy
import talib

ROUNDS, VALUES = 7, 1_000_000


def closes(length):
    state, prices = 1, numpy.empty(length)
    for index in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        prices[index] = 90.0 + (state >> 40) % 2001 / 100.0
    return prices


for length in (250, VALUES):
    prices = closes(length)
    for name, figure, period in (("sma_20", talib.SMA, 20), ("rsi_14", talib.RSI, 14)):
        fastest = float("inf")
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for _ in range(VALUES // length):
                last = figure(prices, period)[-1]
            fastest = min(fastest, time.perf_counter() - begun)
        print(name, length, f"{VALUES // length * length / fastest:.0f}", f"{last:.12f}")
sys.stdout.flush()
