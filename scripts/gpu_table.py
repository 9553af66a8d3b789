#!/usr/bin/env python3
"""Renders as Markdown what gpu_run.sh measured: the JSON lines of a folder such as docs/measured/<date>_<card>.

  python3 scripts/gpu_table.py FOLDER [--all] >FOLDER/README.md

FOLDER/prefill may hold more of them. Ahead of the tables stands what was to be reached, and what was (gpu_summary.py). Without --all, the best configuration of each bandwidth only.
Kinds of lines that this script does not know become tables of all that they hold.
"""
import json
import pathlib
import sys

import gpu_summary


def number(x):
    if x is None or isinstance(x, (str, bool)):
        return {None: "", True: "yes", False: "no"}.get(x, x)
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def span(least, most):
    return f"{number(least)} to {number(most)}"


def rate_span(r):
    """The rates that belong to the longest and the shortest time."""
    return span(r["tflops"] * r["us"] / r["us_max"], r["tflops"] * r["us"] / r["us_min"]) if r.get("us_max") else ""


shape = ("M x N x K", lambda r: f"{r['m']} x {r['n']} x {r['k']}")
tflops = ("TFLOP/s", lambda r: number(r["tflops"]))
microseconds = ("µs", lambda r: number(r["us"]))
clock = ("SM MHz, W", lambda r: f"{r.get('sm_mhz', '')}, {r.get('watts', '')}")
gb = ("GB/s", lambda r: number(r["gb_per_s"]))
configuration = ("configuration", lambda r: r["config"])
product = [("", lambda r: r["kind"]), shape, microseconds, tflops, ("from, to", rate_span), clock, ("error", lambda r: number(r["worst_error"]))]
bandwidth = [("", lambda r: r["item"].removesuffix("_best")), gb, configuration]
# item -> (title, columns); items with one title share a table
known = {
    "card": ("The card", [("", lambda r: r["name"]), ("SMs", lambda r: r["sms"]), ("L2 MB", lambda r: number(r["l2_bytes"] / 1e6)),
                          ("GB", lambda r: number(r["bytes"] / 1e9)), ("CUDA driver", lambda r: r["cuda_driver"])]),
    "launch": ("A launch", [microseconds, ("from, to", lambda r: span(r["us_min"], r["us_max"])), configuration]),
    "launch_host": ("A launch, the host's call", [microseconds, configuration]),
    "gemm": ("Dense products by cuBLASLt", product),
    "sustained": ("Dense products by cuBLASLt, for a second", product),
    "peer": ("torch", [("", lambda r: r["peer"]), ("groups x rows", lambda r: f"{r['groups']} x {r['rows']}"),
                       ("N, K", lambda r: f"{r['n']}, {r['k']}"), microseconds, tflops, ("weights, GB/s", lambda r: number(r["gb_per_s"])),
                       ("how", lambda r: r["how"])]),
    "layer": ("A whole layer", [("", lambda r: r["model"]), ("T", lambda r: f"{r['tokens']:,}"), microseconds,
                                ("from, to", lambda r: span(r["us_min"], r["us_max"])), tflops,
                                ("weights, GB/s", lambda r: number(r["weights_gb_per_s"])), ("share of limit", lambda r: number(r["share_of_limit"])),
                                ("experts with rows", lambda r: number(r["active_experts"])), ("kernels", lambda r: r["kernels"]),
                                ("cuBLASLt, GEMMs alone, µs", lambda r: number(r.get("dense_us"))),
                                ("its share", lambda r: number(r.get("share_of_dense"))), clock, ("wrong", lambda r: r["wrong"])]),
    "layer_step": ("steps", []),
    "layer_check": ("64 tokens of a layer against float64", None),
    "layer_dense": ("A layer's GEMMs as dense products by cuBLASLt", None),
    "torch": ("torch", None),
    "cublaslt": ("cuBLASLt", None),
    "stage": ("Row-wise stages", [("", lambda r: r["stage"]), ("tokens", lambda r: f"{r['tokens']:,}"), ("µs", lambda r: number(r["us"])),
                                  ("from, to", lambda r: span(r["us_min"], r["us_max"])), ("GB/s", lambda r: number(r.get("gb_per_s"))),
                                  ("share of cudaMemcpy", lambda r: number(r.get("share_of_copy")))]),
}
for item in ("read", "bulk_read", "write", "copy"):
    known[item] = ("Bandwidth, every configuration", bandwidth)
    known[item + "_best"] = ("Bandwidth", bandwidth)


def print_grouped(rows):
    """One table a width and kind of shape: a line a shape, a column a tile; the fastest of each kind of work is bold."""
    sections = {}
    for r in rows:
        section = sections.setdefault((r["n"], r["k"], r["share_of"]), {})
        section.setdefault((r["experts"], r["rows_each"]), []).append(r)
    for (n, k, share_of), shapes in sections.items():
        columns = list(dict.fromkeys(r["column"] for all_rows in shapes.values() for r in all_rows))
        rate = ("gb_per_s", "GB/s") if share_of == "read" else ("tflops", "TFLOP/s")
        table = []
        for (experts, rows_each), all_rows in shapes.items():
            best = {work: min(r["us"] for r in all_rows if r["work"] == work) for work in {r["work"] for r in all_rows}}
            line = {"": f"{experts} x {rows_each}", "SM MHz, W": clock[1](all_rows[0])}
            for r in sorted(all_rows, key=lambda r: -r["us"]):  # of two in one column the faster stays
                share = "" if r["share"] is None else f", {r['share']:.2f}"
                cell = f"{number(r['us'])}: {number(r[rate[0]])}{share}"
                line[r["column"]] = f"**{cell}**" if r["us"] == best[r["work"]] else cell
            table.append(line)
        print_table(f"Grouped GEMM, N {n}, K {k}: µs: {rate[1]}, share of {share_of}",
                    [(head, lambda line, head=head: line.get(head, "")) for head in ["", *columns, "SM MHz, W"]], table)


def print_steps(rows):
    """Microseconds: a table a model, a line a number of tokens, a column a step."""
    models = {}
    for r in rows:
        models.setdefault(r["model"], {}).setdefault(r["tokens"], {})[r["step"]] = r["us"]
    for model, lines in models.items():
        steps = list(dict.fromkeys(step for line in lines.values() for step in line))
        columns = [("T", lambda line: f"{line[0]:,}"), *((step, lambda line, step=step: number(line[1].get(step))) for step in steps),
                   ("together", lambda line: number(sum(line[1].values())))]
        print_table(f"Steps of {model}, each between events, µs", columns, list(lines.items()))


def print_table(title, columns, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(head for head, _ in columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell(row)) for _, cell in columns) + " |")


def print_summary(folder, paths):
    """The title, and what gpu_summary.py finds in all files together."""
    rows, of_prefill = [], []
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                (rows if path.parent == folder else of_prefill).append(json.loads(text))
            except ValueError:
                pass  # main says so
    rows = gpu_summary.in_use(rows, of_prefill)
    card = next((r["name"] for r in rows if r.get("item") == "card"), "GPU")
    print(f"# Measured on {'an' if card[:1] in 'AN' else 'a'} {card}\n\nMade by scripts/gpu_table.py of the files beside this one; medians.")
    if (folder / "NOTES.md").exists():
        print("How, and of which commits: [NOTES.md](NOTES.md).")
    print("\n## Summary")
    if of_prefill:
        print(f"\nWhat prefill/ has of more than {gpu_summary.TILE[-1][0]} rows an expert is taken from there.")
    for title, heads, lines in (("What was to be reached", ["work", "must", "measured", ""], gpu_summary.musts(rows)),
                                ("Layers, as forward runs them", *gpu_summary.layers(rows)),
                                ("Grouped GEMM, the tile that forward takes", *gpu_summary.products(rows))):
        if lines:
            print_table(title, [(head, lambda line, i=i: line[i]) for i, head in enumerate(heads)], lines)


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    folder, everything = pathlib.Path(sys.argv[1]), "--all" in sys.argv
    files = sorted(folder.glob("*.jsonl")) + sorted(folder.glob("prefill/*.jsonl"))
    if not files:
        print(f"no *.jsonl in {folder}", file=sys.stderr)
        return 1
    print_summary(folder, files)
    for path in files:
        print(f"\n## {path.relative_to(folder)}")
        tables, errors = {}, []
        for text in path.read_text(encoding="utf-8").splitlines():
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError:
                errors.append({"item": path.name, "error": f"not JSON: {text[:80]}"})
                continue
            if "error" in row:
                errors.append(row)
                continue
            item = row.get("item", row.get("bench", ""))
            title, columns = known.get(item, (item or path.stem, None))
            if item in ("read", "bulk_read", "write", "copy") and "config" in row and not everything:
                continue
            tables.setdefault((title, columns is None), []).append((columns, row))
        for (title, unknown), rows in tables.items():
            if title == "grouped":
                print_grouped([row for _, row in rows])
            elif title == "steps":
                print_steps([row for _, row in rows])
            elif unknown:
                keys = list(dict.fromkeys(key for _, row in rows for key in row if key != "item"))
                print_table(title, [(key, lambda r, key=key: number(r.get(key))) for key in keys], [row for _, row in rows])
            else:
                print_table(title, rows[0][0], [row for _, row in rows])
        if errors:
            print("\n### Failed\n")
            for row in errors:
                print("* " + ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("item", "error")) + f": {row['error']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
