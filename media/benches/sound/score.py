"""Scores pairs of raw 16-bit recordings by PESQ: a line `rate reference degraded` in, a line with the score out."""
import concurrent.futures
import sys

import numpy
from pesq import NoUtterancesError, pesq


def score(line):
    rate, reference, degraded = line.split()
    read = lambda path: numpy.fromfile(path, dtype="<i2").astype(numpy.float32) / 32768
    mode = "nb" if rate == "8000" else "wb"
    try:
        return pesq(int(rate), read(reference), read(degraded), mode)
    except NoUtterancesError:
        return 1.0


if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor() as workers:
        for result in workers.map(score, sys.stdin.read().splitlines(), chunksize=8):
            print(f"{result:.4f}")
