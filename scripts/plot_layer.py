#!/usr/bin/env python3
"""Draws FOLDER/layer.svg from the JSON that scripts/bench.sh left there: share of the limit against T, a line for each engine."""
import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "moesaic"  # the same picture for the same numbers
import matplotlib.pyplot as plt

folder = pathlib.Path(sys.argv[1])
figure, axes = plt.subplots(figsize=(8, 4.5))
for file, suffix in (("bench_layer.json", ""), ("bench_layer_avx2.json", ", AVX2 build")):
    if not (folder / file).exists():
        continue
    engines = {}
    for run in json.loads((folder / file).read_text())["benchmarks"]:
        engine, tokens = run["name"].split("/")[:2]
        engines.setdefault(engine, []).append((int(tokens.removeprefix("T:")), run["share_of_limit"], run["least"], run["most"]))
    for engine, points in engines.items():
        t, share, least, most = zip(*sorted(points))
        line = axes.plot(t, [100 * s for s in share], marker="o", label=engine + suffix)[0]
        axes.fill_between(t, [100 * s for s in least], [min(100 * s, 110) for s in most], color=line.get_color(), alpha=0.12)
axes.set_xscale("log", base=2)
axes.set_xticks([2**i for i in range(12)], [str(2**i) for i in range(12)])
axes.set_ylim(0, 110)
axes.set_xlabel("tokens")
axes.set_ylabel("% of the limit probed beside each call\n(reading the weights or the engine's peak)")
axes.set_title("One DeepSeek-V3 layer, " + (folder / "machine.txt").read_text().split("processor")[1].split("\n")[0].strip(), fontsize=10)
axes.grid(alpha=0.3)
axes.legend(fontsize=8)
figure.tight_layout()
figure.savefig(folder / "layer.svg", metadata={"Date": None})
