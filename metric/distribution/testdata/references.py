"""Writes references.json: sets of features and what numpy computes from them in float64.

    python3 references.py > references.json

Values are whole numbers over 64, so that they are the same in float32. The trace of the root is
computed twice: from the singular values of the centred features, and from the eigenvalues of the
product of the covariances, as is usual. The eigenvalues are less exact where covariances are singular.
"""
import json
import sys

import numpy as np

rng = np.random.default_rng(20)


def features(n, d, shift=0.0, rank=None):
    """Features of n images: correlated, partly zero as after a ReLU; of a smaller rank if asked for."""
    mixing = rng.normal(size=(rank or d, d)) / np.sqrt(rank or d)
    x = rng.normal(size=(n, rank or d)) @ mixing + shift
    return np.round(64 * np.where(rng.uniform(size=(n, 1)) < 0.7, np.maximum(x, 0), x)).astype(int)


def frechet_singular(x, y):
    a, b = x - x.mean(0), y - y.mean(0)
    n, m = len(x) - 1, len(y) - 1
    s = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(n * m)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() / n + (b**2).sum() / m - 2 * s


def frechet_eigen(x, y):
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(c1 @ c2).real, 0)).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * roots


def kernel_distance(x, y):
    d = x.shape[1]
    k = lambda u, v: (u @ v.T / d + 1) ** 3
    xx, yy = k(x, x), k(y, y)
    n, m = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return within - 2 * k(x, y).mean()


def inception_score(p, splits):
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        q = part.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(part > 0, part * np.log(part / q), 0)
        scores.append(np.exp(terms.sum(1).mean()))
    return [float(np.mean(scores)), float(np.std(scores))]


def compare(name, x, y):
    a, b = x / 64, y / 64
    return {
        "name": name, "a": x.tolist(), "b": y.tolist(),
        "frechet_singular": float(frechet_singular(a, b)), "frechet_eigen": float(frechet_eigen(a, b)),
        "kernel": float(kernel_distance(a, b)),
    }


def score(n, classes, sharpness):
    """Class probabilities of n images, whole numbers over 1024, and their scores."""
    p = np.exp(sharpness * rng.normal(size=(n, classes)))
    counts = np.floor(1024 * p / p.sum(1, keepdims=True)).astype(int)
    counts[np.arange(n), counts.argmax(1)] += 1024 - counts.sum(1)
    return {"counts": counts.tolist(), "scores": {str(s): inception_score(counts / 1024, s) for s in (1, 3, 10)}}


wide = features(300, 32)
pairs = [
    compare("40x16 and 40x16", features(40, 16), features(40, 16, 0.2)),
    compare("12x64 and 12x64", features(12, 64), features(12, 64, 0.3)),
    compare("12x64 and 90x64", features(12, 64), features(90, 64, -0.2)),
    compare("300x32 and 250x32", wide, features(250, 32, 0.1)),
    compare("300x32 and 60x32 of rank 5", wide, features(60, 32, 0.1, 5)),
    compare("2x3 and 2x3", features(2, 3), features(2, 3)),
]
json.dump({"pairs": pairs, "scores": [score(50, 20, 2.0), score(33, 7, 0.5)]}, sys.stdout, separators=(",", ":"))
print()
