"""Draws what the benchmarks measured: plot.py RESULTS OUT reads doors.json and rings.json and writes four SVGs."""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "ringside", "svg.fonttype": "none", "font.size": 9, "axes.grid": True})
from matplotlib import pyplot  # noqa: E402: the backend is chosen first

COLOURS = {
    "ring": "#c0392b",
    "ring spinning": "#e67e22",
    "handle": "#8e44ad",
    "grpc": "#2471a3",
    "http": "#7f8c8d",
    "raw socket echo": "#27ae60",
    "plain gRPC echo": "#5dade2",
}
CAPTION = "A machine with {cpus} CPUs; figures compare within one run."


def lines_of(rows, x, y):
    """The rows as {door: ([x…], [y…])}, in the order in which doors first appear."""
    lines = {}
    for row in rows:
        xs, ys = lines.setdefault(row["door"], ([], []))
        xs.append(row[x])
        ys.append(row[y])
    return lines


def at_their_best(rows):
    """Of each door and size the row of the faster placement."""
    best = {}
    for row in rows:
        key = (row["door"], row["bytes"])
        if key not in best or row["p50_us"] < best[key]["p50_us"]:
            best[key] = row
    return list(best.values())


def size_name(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def draw(out, title, lines, labels, ticks, caption, log_y=True):
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8))
    for door, (xs, ys) in lines.items():
        axes.plot(xs, ys, marker="o", markersize=3.5, linewidth=1.4, color=COLOURS[door], label=door,
                  linestyle="--" if door in ("raw socket echo", "plain gRPC echo") else "-")
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, framealpha=0.9)
    figure.text(0.99, 0.005, caption, fontsize=6, ha="right", color="#666666")
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    print(f"  {out}")


def main():
    results, out = map(pathlib.Path, sys.argv[1:3])
    doors = json.loads((results / "doors.json").read_text(encoding="utf-8"))
    rings = json.loads((results / "rings.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    caption = CAPTION.format(cpus=doors["cpus"])
    echoes = at_their_best(
        row for row in doors["table"]
        if row["work"] == "transport echo" or row["door"] in ("raw socket echo", "plain gRPC echo"))
    sizes = {row["bytes"]: size_name(row["bytes"]) for row in echoes}
    windows = {row["window"]: str(row["window"]) for row in rings["windows"]}
    body = "body each way, transport echo; on one CPU or across, whichever is faster"
    under_way = "64 B pings under way, through the runtime, nothing pinned"
    draw(out / "latency-by-size.svg", "Time of a call by body size", lines_of(echoes, "bytes", "p50_us"),
         (body, "p50, µs"), sizes, caption)
    draw(out / "cpu-by-size.svg", "CPU time of a call by body size, both sides", lines_of(echoes, "bytes", "cpu_us"),
         (body, "CPU, µs"), sizes, caption)
    draw(out / "rate-by-window.svg", "Calls a second by calls under way",
         lines_of(rings["windows"], "window", "calls_per_s"), (under_way, "calls a second"), windows, caption)
    draw(out / "sleeps-by-window.svg", "Wake-ups by calls under way, both sides",
         lines_of(rings["windows"], "window", "sleeps_per_call"), (under_way, "wake-ups a call"), windows, caption)


if __name__ == "__main__":
    main()
