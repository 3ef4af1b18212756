"""Arrays to write, and an index to write at."""

import numpy as np

A, B = np.array([0.7, -1.2, 0.4]), np.array([1.1, 0.3, -0.8])


M = np.array([[0.7, -1.2, 0.4], [0.2, 0.9, -0.5]])


I = np.array([2, 0])


MASK = np.array([True, False, True])


def put(x, index, value):
    y = x.clone()
    y[index] = value
    return y * y
