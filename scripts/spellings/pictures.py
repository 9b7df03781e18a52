"""Seeded pictures and the normalisation that the networks are fed with."""

import numpy as np

MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)

# Pictures that ranges are calibrated on have seeds below this one; the compared picture has this one.
COMPARED = 1000


def picture(seed, width, height):
    """A smooth ground with noise: height x width x 3, u8, spread over the whole range."""
    random = np.random.default_rng(seed)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    turn = random.uniform(0.2, 1.2, 4)
    phase = random.uniform(0, 6, 3)
    ground = 128 + 70 * np.sin(turn[0] * x + turn[1] * y + phase[c])
    ground += 50 * np.cos(turn[2] * x - turn[3] * y + c)
    return np.clip(ground + random.normal(0, 25, ground.shape), 0, 255).astype(np.uint8)


def network_input(pixels):
    """N x 3 x H x W, f32, of one picture: (pixel / 255 - mean) / std."""
    planes = (pixels.astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(planes.transpose(2, 0, 1))[None]


def calibration(size, count=16):
    return [network_input(picture(seed, *size)) for seed in range(count)]
