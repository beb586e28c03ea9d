"""Simulates a study with known fool rates and analyses it by another route than the Go code.

Writes answers.csv and expected.json beside itself. Needs Python's standard library alone:
    python3 simulate.py

Wilson's interval is found here by bisection of its definition, the score test
|k/n - p| = z * sqrt(p (1 - p) / n), not by the closed formula; means and deviations are
exact fractions; quantiles come from statistics.quantiles(method="inclusive").
"""

import csv
import json
import math
import os
import random
import statistics
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))
RATES = {"strong": 0.45, "middle": 0.25, "weak": 0.04, "never": 0.0}
SUBJECTS, IMAGES, PER_SUBJECT, CATCH = 37, 60, 40, 4
MAX_CATCH_ERRORS = 1
Z = statistics.NormalDist().inv_cdf(0.975)


def simulate():
    rng = random.Random(20210415)
    names = list(RATES)
    rows = []
    for s in range(SUBJECTS):
        subject = f"s{s:02d}"
        careless = s % 9 == 4  # answers by coin
        images = rng.sample(range(IMAGES), PER_SUBJECT + CATCH)
        methods = [names[i % len(names)] for i in range(PER_SUBJECT)] + [""] * CATCH
        rng.shuffle(methods)
        length = PER_SUBJECT + CATCH if s % 11 != 7 else 23  # some stop early
        for trial in range(length):
            method = methods[trial]
            difficulty = 0.6 + 0.8 * images[trial] / (IMAGES - 1)  # of the image
            p = RATES.get(method, 0.01) * difficulty
            if careless:
                p = 0.5
            fooled = rng.random() < p
            left = rng.random() < 0.5
            choice = ("left" if left else "right") if not fooled else ("right" if left else "left")
            if rng.random() < 0.01:
                choice = "none"
            rows.append({
                "subject": subject, "trial": trial, "image": f"i{images[trial]:02d}", "method": method,
                "original_left": int(left), "choice": choice,
                "response_ms": round(3000 + rng.lognormvariate(6.5, 0.5), 3),
                "shown_ms": round(3000 + rng.gauss(0, 4), 3), "views": 2 if rng.random() < 0.02 else 1,
            })
    return rows


def fooled(row):
    if row["choice"] == "none":
        return None
    return row["choice"] != ("left" if row["original_left"] else "right")


def root(f, low, high):
    sign = f(low) > 0
    for _ in range(200):
        mid = (low + high) / 2
        if (f(mid) > 0) == sign:
            low = mid
        else:
            high = mid
    return (low + high) / 2


def wilson(k, n):
    share = k / n

    def beyond(p):
        return (share - p) ** 2 * n - Z * Z * p * (1 - p)

    low = 0.0 if k == 0 else root(beyond, 0.0, share)
    high = 1.0 if k == n else root(beyond, share, 1.0)
    return low, high


def analyse(rows):
    subjects = sorted({r["subject"] for r in rows})
    errors = {s: sum(1 for r in rows if r["subject"] == s and r["method"] == "" and fooled(r) is not False) for s in subjects}
    excluded = [s for s in subjects if errors[s] > MAX_CATCH_ERRORS]
    counted = [r for r in rows if r["subject"] not in excluded]
    given = [r for r in counted if r["choice"] != "none"]
    out = {
        "subjects": len(subjects) - len(excluded), "excluded": excluded, "max_catch_errors": MAX_CATCH_ERRORS,
        "catch_trials": sum(r["method"] == "" for r in rows), "catch_errors": sum(errors.values()),
        "left_share": float(Fraction(sum(r["choice"] == "left" for r in given), len(given))),
        "repeated": sum(r["views"] > 1 for r in counted), "methods": [],
    }
    for name in RATES:
        own = [r for r in given if r["method"] == name]
        hits = sum(fooled(r) for r in own)
        per_subject = []
        for s in subjects:
            mine = [fooled(r) for r in own if r["subject"] == s]
            if mine:
                per_subject.append(Fraction(sum(mine), len(mine)))
        low, high = wilson(hits, len(own))
        quartiles = statistics.quantiles([r["response_ms"] for r in own], n=4, method="inclusive")
        images = []
        for image in sorted({r["image"] for r in own}):
            mine = [fooled(r) for r in own if r["image"] == image]
            images.append((image, len(mine), sum(mine), *wilson(sum(mine), len(mine))))
        images.sort(key=lambda t: (-Fraction(t[2], t[1]), -t[1], t[0]))
        variance = statistics.variance(per_subject)
        out["methods"].append({
            "method": name, "subjects": len(per_subject), "trials": len(own), "fooled": hits,
            "timed_out": sum(r["method"] == name and r["choice"] == "none" for r in counted),
            "rate": hits / len(own), "low": low, "high": high,
            "mean": float(statistics.mean(per_subject)),
            "standard_error": math.sqrt(float(variance / len(per_subject))),
            "quartiles": quartiles, "images": images,
        })
    return out


def main():
    rows = simulate()
    with open(os.path.join(HERE, "answers.csv"), "w", newline="") as f:
        w = csv.DictWriter(f, rows[0].keys(), lineterminator="\n")
        w.writeheader()
        w.writerows(rows)
    cases = [(k, n) for n in (1, 2, 7, 50, 2500) for k in sorted({0, 1, n // 3, n // 2, n - 1, n})]
    expected = {"rates": RATES, "analysis": analyse(rows), "wilson": [[k, n, *wilson(k, n)] for k, n in cases]}
    with open(os.path.join(HERE, "expected.json"), "w") as f:
        json.dump(expected, f, indent=1)
        f.write("\n")


main()
