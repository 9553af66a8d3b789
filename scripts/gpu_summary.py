"""What the GPU was meant to reach, and what of it the JSON lines of a folder show. gpu_table.py prints it above its tables."""

TILE = ((10, "x16"), (22, "x32"), (48, "x64"))  # tune::tile_for: up to so many rows an expert, the benchmark's column


def chosen(tiles):
    """The one of a shape's lines whose tile forward takes (tune::tile_for, tune::few_rounds), or None."""
    of = {r["column"]: r for r in tiles if r["work"] == "gemm"}
    any_row = tiles[0]
    column = next((c for most, c in TILE if any_row["rows_each"] <= most), "2x128")
    few = min(any_row["rows"], any_row["experts"]) <= 64
    return of.get(column + " 2", of.get(column)) if few and column in ("x16", "x32") else of.get(column)


def rows_an_expert(row):
    return row["rows_each"] if row.get("item") == "grouped" else row["tokens"] * 8 / row["experts"]


def in_use(rows, of_prefill):
    """A folder's lines; a layer or a grouped GEMM of many rows an expert that its folder prefill/ has, too, is that folder's."""
    many = lambda r: r.get("item") in ("grouped", "layer", "layer_step") and rows_an_expert(r) > TILE[-1][0]
    work = lambda r: tuple(r.get(key) for key in ("item", "model", "tokens", "experts", "rows_each", "n", "k"))
    there = {work(r) for r in of_prefill if many(r)}
    kept = [r for r in rows if work(r) not in there]
    at = next((i for i, r in enumerate(kept) if r.get("item") == "grouped"), len(kept))
    return kept[:at] + [r for r in of_prefill if many(r)] + kept[at:]


def shapes_of(rows):
    """(N, K, experts, rows each): the lines of that shape."""
    shapes = {}
    for r in rows:
        if r.get("item") == "grouped":
            shapes.setdefault((r["n"], r["k"], r["experts"], r["rows_each"]), []).append(r)
    return shapes


def span(values, digits=2):
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return low if low == high else f"{low} to {high}"


def verdict(values, must, at_most=False):
    """How many of the values are as they must be, and how far off the worst is."""
    good = sum(v <= must if at_most else v >= must for v in values)
    if good == len(values):
        return "met"
    worst = max(values) if at_most else min(values)
    how = f"by {abs(worst / must - 1) * 100:.0f} %" + (" at worst" if len(values) > 1 else "")
    return f"missed {how}" if good == 0 else f"met in {good} of {len(values)}, else missed {how}"


def grouped_gemm(rows):
    prefill, decode = {}, {}
    for (n, k, _, rows_each), tiles in shapes_of(rows).items():
        ours = chosen(tiles)
        if ours is None:
            continue
        if rows_each >= 1024:
            prefill.setdefault((n, k), []).append((ours, {r["column"]: r for r in tiles}))
        elif ours["share_of"] == "read" and 4 <= rows_each <= 64:
            decode.setdefault((n, k), []).append(ours)
    for (n, k), shapes in prefill.items():
        for peer, what in (("lt block", "block scales as ours"), ("lt fast", "one scale a matrix, fast accumulation")):
            pairs = [(ours["tflops"], of[peer]["tflops"]) for ours, of in shapes if peer in of]
            if pairs:
                shares = [ours / theirs for ours, theirs in pairs]
                yield (f"grouped GEMM, N {n} K {k}, 1024 and more tokens an expert", f"0.9 of dense cuBLASLt: {what}",
                       f"{span(shares)}; {span([p[0] for p in pairs], 0)} against {span([p[1] for p in pairs], 0)} TFLOP/s", verdict(shares, 0.9))
    for (n, k), all_rows in decode.items():
        for experts in sorted({r["experts"] for r in all_rows}, reverse=True):
            shares = [r["share"] for r in all_rows if r["experts"] == experts]
            yield (f"the same, N {n} K {k}, 4 to 64 tokens, {experts} experts", "0.92 of a read kernel's rate", span(shares), verdict(shares, 0.92))


def experts_of(row):
    """A layer's experts, and how else it was run: "deepseek_v3, gathered" gathers rows in the step up."""
    return f"{row['experts']} experts{row['model'].partition(',')[2]}"


def layer(rows):
    large = [r for r in rows if r.get("item") == "layer" and r["tokens"] * 8 >= 1024 * r["experts"]]
    for model in dict.fromkeys(r["model"] for r in large):
        mine = [r for r in large if r["model"] == model]
        rates = [r["tflops"] for r in mine]
        yield (f"layer of {experts_of(mine[0])} and a shared one, 1024 and more tokens an expert", "1000 TFLOP/s", span(rates, 0), verdict(rates, 1000))
    if large:
        kernels = [r["kernels"] for r in large]
        yield ("launches of a layer", "5 at most", span(kernels, 0), "met" if max(kernels) <= 5 else f"missed by {max(kernels) - 5}")


def stages(rows):
    stage = [r for r in rows if r.get("item") == "stage"]
    for tokens, must in ((64, 4.0), (4096, 6.0)):
        of = {r["stage"]: r["us"] for r in stage if r["tokens"] == tokens}
        us = [of[name] for name in ("select + map as one", "select + map") if name in of][:1]
        if us:
            yield (f"top-k and dispatch map, {tokens} tokens", f"{must:g} µs", span(us, 1), verdict(us, must, at_most=True))
    copies = [(i, r) for i, r in enumerate(stage) if r["stage"].startswith("copy, ") and "Memcpy" not in r["stage"]]
    for name in ("combine bf16", "quantise bf16 to E4M3", "permute E4M3", "permute bf16"):
        mine = [(i, r) for i, r in enumerate(stage) if r["stage"] == name]
        if not mine:
            continue
        at, r = max(mine, key=lambda pair: pair[1]["tokens"])
        behind = [c for i, c in copies if i > at and c["tokens"] == r["tokens"]][:2]  # timed in turn with it
        share = r["gb_per_s"] / max(c["gb_per_s"] for c in behind)
        yield (f"{name}, {r['tokens']} tokens", "0.9 of a copy kernel's rate", f"{share:.2f}; {r['share_of_copy']:.2f} of cudaMemcpy's", verdict([share], 0.9))


def musts(rows):
    """Lines (work, must, measured, verdict)."""
    return [*grouped_gemm(rows), *layer(rows), *stages(rows)]


def layers(rows):
    """(heads, lines): what a reader looks for first."""
    lines, models = {}, {}
    for r in rows:
        if r.get("item") == "layer":
            models.setdefault(r["model"], experts_of(r))
            lines.setdefault(r["tokens"], {})[r["model"]] = r
    heads = ["tokens"]
    for experts in models.values():
        heads += [f"{experts}, µs", "from, to", "TFLOP/s", "GB/s of weights", "of its limit"]

    def cells(r):
        if r is None:
            return [""] * 5
        digits = 1 if r["us"] < 1000 else 0
        return [f"{r['us']:,.{digits}f}", span([r["us_min"], r["us_max"]], digits), f"{r['tflops']:,.0f}", f"{r['weights_gb_per_s']:,.0f}",
                f"{r['share_of_limit'] * 100:.0f} %"]

    return heads, [[f"{tokens:,}", *(c for m in models for c in cells(of.get(m)))] for tokens, of in sorted(lines.items())]


def products(rows):
    """(heads, lines): the tile that forward takes beside cuBLASLt or a read kernel."""
    lines = []
    for (n, k, experts, rows_each), tiles in shapes_of(rows).items():
        us = {r["column"]: r for r in tiles}
        ours = chosen(tiles)
        if ours is None:
            continue
        block, fast = us.get("lt block"), us.get("lt fast")
        lines.append([f"{n}, {k}", f"{experts} x {rows_each:,}", ours["column"], f"{ours['us']:,.1f}", f"{ours['tflops']:,.0f}", f"{ours['gb_per_s']:,.0f}",
                      *(f"{ours['tflops'] / peer['tflops']:.2f}" if peer else "" for peer in (block, fast)),
                      f"{ours['share']:.2f}" if ours["share_of"] == "read" and ours["share"] is not None else ""])
    return ["N, K", "experts x rows", "tile", "µs", "TFLOP/s", "GB/s", "of cuBLASLt, scales as ours", "of cuBLASLt, one scale, fast", "of a read kernel"], lines
