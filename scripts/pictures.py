#!/usr/bin/env python3
"""Draws docs/rooms.svg, dataflow.svg, cpu_layout.svg, cpu_roofline.svg and cuda_hopper.svg. Standard library only.

scripts/pictures.py [FOLDER]    FOLDER: where they go, docs/ unless told. The rooms and doors come from tests/rooms/check.sh, which enforces them.
"""
import math
import pathlib
import re
import sys
from html import escape

root = pathlib.Path(__file__).resolve().parent.parent

# One style for light and dark pages: a card of its own colour, and inks that stand on it.
INK, MUTED, LINE, CARD, PAPER = "#1f2937", "#64748b", "#94a3b8", "#f8fafc", "#ffffff"
BLUE, GREEN, AMBER, VIOLET = ("#dbeafe", "#3b82f6"), ("#dcfce7", "#22a06b"), ("#fef3c7", "#d08700"), ("#ede9fe", "#7c5cd6")
SANS = "-apple-system,BlinkMacSystemFont,'Segoe UI','Noto Sans','DejaVu Sans',Helvetica,Arial,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"


class picture:
    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0.5 L7.5 4 L0 7.5 Z" fill="{MUTED}"/></marker></defs>',
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="12" fill="{CARD}" stroke="#e2e8f0"/>',
        ]

    def text(self, x, y, s, size=13, fill=INK, anchor="middle", mono=False, weight=400):
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-family="{MONO if mono else SANS}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}" font-weight="{weight}">{escape(s)}</text>')

    def box(self, x, y, w, h, colour, name, note="", dashed=False):
        fill, stroke = colour
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="7" fill="{fill}" stroke="{stroke}" stroke-width="1.3"{dash}/>')
        self.text(x + w / 2, y + (h / 2 - 2 if note else h / 2 + 5), name, 14, mono=True, weight=600)
        if note:
            self.text(x + w / 2, y + h / 2 + 15, note, 11, MUTED)

    def arrow(self, *points, dashed=False):
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{MUTED}" stroke-width="1.4" marker-end="url(#tip)"{dash}/>')

    def cell(self, x, y, w, h, colour, s="", size=11):
        """A box without air around it, as memory has."""
        fill, stroke = colour
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{stroke}" stroke-width="1"/>')
        if s:
            self.text(x + w / 2, y + h / 2 + size * 0.36, s, size, mono=True)

    def line(self, *points, stroke=LINE, width=1.0, dash=""):
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{stroke}" stroke-width="{width:g}" stroke-linejoin="round"{dashes}/>')

    def save(self, file):
        file.write_text("\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


def rooms_of_check():
    """{room or door: what it may include}, from the awk table left[...] of tests/rooms/check.sh; and the rooms, left to right."""
    text = (root / "tests/rooms/check.sh").read_text(encoding="utf-8")
    left = {}
    for name, value in re.findall(r'^  left\["([^"]+)"\]\s*=\s*([^#\n]+)', text, re.M):
        words = []
        for reference, literal in re.findall(r'left\["([^"]+)"\]|"([^"]*)"', value):
            words += left[reference] if reference else literal.split()
        left[name] = words
    return left, re.search(r'split\("([^"]+)", names\)', text).group(1).split()


def rooms(file):
    left, names = rooms_of_check()
    missing = [n for n in names if n not in left]
    assert not missing, f"tests/rooms/check.sh has no doors for {missing}"
    built = {p.name for p in (root / "include/moesaic").iterdir()}
    # Doors that others imply are not drawn: an arrow is a room's nearest neighbours on its left.
    direct = {}
    for room in names:
        seen = set(left[room]) - {room}
        direct[room] = sorted(d for d in seen if not any(d in left[o] and o != d for o in seen))
    notes = {"core": "status, views", "num": "e4m3, bf16, exp", "config": "models, layer", "semantics": "every rule, once", "tune": "tile shapes",
             "reference": "the oracle", "cpu": "packed, any pool", "kokkos": "teams, portable", "cuda": "mma.sync, wgmma", "pipeline": "stages, forward",
             "balance": "planners", "ep": "expert parallel"}
    place = {"core": (0, 1.5), "num": (1, 1.5), "config": (2, 1.5), "semantics": (3, 1.5), "tune": (4, 1.5),
             "reference": (5, 0), "cpu": (5, 1), "cuda": (5, 2), "pipeline": (5, 3), "kokkos": (6, 1), "balance": (6, 2.6), "ep": (6, 3.4)}
    w, h, dx, dy, x0, y0 = 104, 50, 130, 74, 24, 66
    p = picture(x0 * 2 + dx * 6 + w, 424, "The rooms of include/moesaic and their one-way doors")
    p.text(x0, 36, "Rooms of include/moesaic", 16, anchor="start", weight=600)
    p.text(x0 + dx * 6 + w, 36, "an arrow points to what is included, and all that lies behind it", 12, MUTED, anchor="end")
    at = lambda r: (x0 + place[r][0] * dx, y0 + place[r][1] * dy)
    for room in names:
        for to in direct[room]:
            (x1, y1), (x2, y2) = at(room), at(to)
            start, end = (x1, y1 + h / 2), (x2 + w + 2, y2 + h / 2)
            middle = x1 - (dx - w) / 2
            p.arrow(*([start, end] if y1 == y2 else [start, (middle, start[1]), (middle, end[1]), end]))
    for room in names:
        colour = GREEN if room in ("reference", "cpu", "kokkos", "cuda") else VIOLET if room in ("pipeline", "balance", "ep") else BLUE
        p.box(*at(room), w, h, colour, room, notes.get(room, ""), dashed=room not in built)
    doors = [d for d in left if d.endswith(".hpp")]
    y = 372
    p.text(x0, y + 20, "doors", 12, MUTED, anchor="start")
    x = x0 + 52
    for door in doors:
        own = [r for r in left[door] if not any(r in left[d] for d in doors if d != door and set(left[d]) < set(left[door]))]
        width = 150 if door != "moesaic.hpp" else 176
        p.box(x, y, width, 36, AMBER, door, dashed=door not in built)
        x += width + 12
    p.text(x0 + dx * 6 + w, y + 22, "dashed: not built yet", 12, MUTED, anchor="end")
    p.save(file)


def dataflow(file):
    p = picture(880, 652, "From tokens to y: the stages of a layer and the types they hand over")
    p.text(28, 38, "One layer, stage by stage", 16, anchor="start", weight=600)
    p.text(852, 38, "T tokens · E experts, K for a token · M ≤ T·K rows · H hidden · I intermediate", 12, MUTED, anchor="end")
    x, w, h = 72, 224, 50
    steps = [
        ("route", "router GEMM, scores, top-k", BLUE, "topk_choice", "ids i32 [T,K] · weights f32 [T,K]"),
        ("make_dispatch_map", "count, sort by expert", BLUE, "dispatch_map", "expert_offsets [E+1] · row_to_slot [M] · slot_to_row [T,K]"),
        ("permute", "gather rows by expert", GREEN, "matrix_view or quantized_rows", "x's type [M,H], or e4m3 [M,H] · scales [⌈H/128⌉, align4(M)]"),
        ("grouped_gemm  (up)", "gate and up of each expert", GREEN, "matrix_view<float>", "gate f32 [M,I] · up f32 [M,I]"),
        ("activation", "silu(gate) · up, rounded once", GREEN, "matrix_view or quantized_rows", "f32 [M,I], or e4m3 [M,I] · scales [⌈I/128⌉, align4(M)]"),
        ("grouped_gemm  (down)", "back to the hidden width", GREEN, "matrix_view<float>", "f32 [M,H]"),
        ("unpermute", "Σ weight · row, + shared, + residual", VIOLET, "y", "f32 / bf16 / fp16 [T,H]"),
    ]
    y, dy = 96, 80
    p.arrow((x + w / 2, y - 32), (x + w / 2, y - 2))
    p.text(x + w / 2 + 14, y - 13, "x", 12, anchor="start", mono=True, weight=600)
    p.text(x + w / 2 + 34, y - 13, "f32 / bf16 / fp16 [T,H]; permute takes it too, or its rows quantised once a token", 12, MUTED, anchor="start")
    last = y + (len(steps) - 1) * dy
    p.arrow((x, y + h / 2), (x - 30, y + h / 2), (x - 30, last + h / 2 - 8), (x - 2, last + h / 2 - 8), dashed=True)
    p.arrow((x, y + dy + h / 2), (x - 18, y + dy + h / 2), (x - 18, last + h / 2 + 8), (x - 2, last + h / 2 + 8), dashed=True)
    for i, (name, note, colour, kind, shape) in enumerate(steps):
        top = y + i * dy
        p.box(x, top, w, h, colour, name, note)
        if i + 1 < len(steps):
            p.arrow((x + w / 2, top + h), (x + w / 2, top + dy - 2))
        else:
            p.arrow((x + w, top + h / 2), (x + w + 34, top + h / 2))
        ty = top + h + 11 if i + 1 < len(steps) else top + h / 2 - 4
        tx = x + w / 2 + 14 if i + 1 < len(steps) else x + w + 44
        p.text(tx, ty + 8, kind, 12, anchor="start", mono=True, weight=600)
        p.text(tx + len(kind) * 7.4 + 12, ty + 8, shape, 12, MUTED, anchor="start")
    p.save(file)


def cpu_layout(file):
    low, high, plain, strip = BLUE, AMBER, (PAPER, LINE), ("#e2e8f0", LINE)  # columns 0 and 1, columns 2 and 3 of a group
    p = picture(880, 646, "E4M3 weights from the checkpoint's rows to registers: strips, groups, cache lines")
    p.text(28, 38, "From a checkpoint's rows to registers", 16, anchor="start", weight=600)
    p.text(852, 38, "E4M3 codes, one byte each; registers as AVX-512 has them", 12, MUTED, anchor="end")

    # The checkpoint: rows of a matrix, the sixteen of a strip, four columns of them.
    x, y, w = 28, 92, 268
    p.text(x, y - 14, "checkpoint", 13, anchor="start", mono=True, weight=600)
    p.text(x + 92, y - 14, "[N][K], a row after a row", 12, MUTED, anchor="start")
    p.cell(x, y, w, 156, plain)
    p.cell(x, y + 44, w, 56, strip)
    p.cell(x + 112, y + 44, 16, 56, low)
    p.cell(x + 128, y + 44, 16, 56, high)
    p.text(x + 10, y + 77, "16 rows", 12, anchor="start")
    p.text(x + w - 10, y + 77, "a strip", 12, anchor="end")
    p.text(x + w / 2 - 6, y + 122, "4 columns: a group", 12)
    p.text(x + w / 2 - 6, y + 142, "8 strips × 128 columns: one scale", 12, MUTED)

    # The strip: its groups one after another.
    sx, sy, n, gw = 372, 92, 8, 60
    p.text(sx, sy - 14, "packed strip", 13, anchor="start", mono=True, weight=600)
    p.text(sx + 108, sy - 14, "[K/4] groups of 64 bytes, each a cache line", 12, MUTED, anchor="start")
    for i in range(n):
        mine = i == 4
        name = ["0", "1", "2", "…", "g", "…", "", "K/4 − 1"][i]
        if i == 6:
            continue
        width = gw * 2 if i == 7 else gw
        at = sx + (i - (1 if i == 7 else 0)) * gw
        p.cell(at, sy, width, 46, strip if mine else plain, name, 12)
    p.arrow((x + w, y + 72), (sx - 36, y + 72), (sx - 36, sy + 23), (sx - 3, sy + 23))
    for i, note in enumerate(("Codes are copied, none is changed:", "whole strips and groups take no", "more room than before. A strip is",
                              "read from its first byte to its last,", "in the order of addition.")):
        p.text(sx, sy + 76 + 17 * i, note, 12, MUTED, anchor="start")

    # The group: a cache line.
    lx, ly, cw = 28, 306, 26
    p.text(lx, ly - 16, "group g", 13, anchor="start", mono=True, weight=600)
    p.text(lx + 68, ly - 16, "a row's four codes side by side, its columns in the order 0, 2, 1, 3", 12, MUTED, anchor="start")
    shown = [(0, "row 0"), (1, "row 1"), (2, "row 2"), (3, "row 3"), (None, "…"), (14, "row 14"), (15, "row 15")]
    at, row_at = lx, {}
    for row, name in shown:
        if row is None:
            p.cell(at, ly, 60, 30, plain, "…", 12)
            at += 60
            continue
        row_at[row] = at
        for i, column in enumerate((0, 2, 1, 3)):
            p.cell(at + i * cw, ly, cw, 30, low if column < 2 else high, str(column), 12)
        p.text(at + 2 * cw, ly + 46, name, 11, MUTED)
        at += 4 * cw
    group_end = at
    p.arrow((sx + 4.5 * gw, sy + 46), (sx + 4.5 * gw, ly - 3))
    p.text(group_end + 12, ly + 20, "64 bytes", 12, MUTED, anchor="start")

    # The decoded registers.
    def register(top, colour, columns, name, formula):
        p.text(lx, top - 12, name, 13, anchor="start", weight=600)
        p.text(lx + 250, top - 12, formula, 12, MUTED, anchor="start", mono=True)
        for row, start in row_at.items():
            for i, column in enumerate(columns):
                p.cell(start + i * 2 * cw, top, 2 * cw, 30, colour, str(column), 12)
        dots = row_at[3] + 4 * cw
        p.cell(dots, top, 60, 30, plain, "…", 12)
        p.text(group_end + 12, top + 20, "32 of 16 bits", 12, MUTED, anchor="start")

    register(396, low, (0, 1), "even bytes, decoded", "((x << 8) >> 1) & 0xBF80 in 16-bit lanes")
    register(464, high, (2, 3), "odd bytes, decoded", "(x >> 1) & 0xBF80")
    p.text(lx, 518, "fp16 of value / 256, exact. Two neighbouring lanes are two neighbouring columns of a row: they meet the same two", 12, MUTED,
           anchor="start")
    p.text(lx, 535, "columns of the token's row, broadcast from where they lie in plain order. Three engines go on from here:", 12, MUTED, anchor="start")

    engines = [("fp32_exact", "widened: 4 vectors of 16 fp32", GREEN), ("fp16_chunked", "taken as it is: 2 vectors of 32 fp16", GREEN),
               ("bf16_dot", "by tables instead: 2 vectors of 32 bf16", GREEN)]
    for i, (name, note, colour) in enumerate(engines):
        p.box(28 + i * 278, 562, 268, 56, colour, name, note)
    p.save(file)


def cpu_roofline(file):
    read, fewest, most, lowest, highest = 32.0, 1.0, 64.0, 50.0, 1000.0  # GB/s; rows per expert; GFLOP/s
    engines = [("fp16_chunked", 838.0, BLUE[1]), ("fp32_exact", 410.0, GREEN[1]), ("bf16_dot", 213.0, AMBER[1])]
    p = picture(880, 500, "Rows per expert against GFLOP/s: what memory and each engine's arithmetic allow")
    p.text(28, 38, "What a layer can reach", 16, anchor="start", weight=600)
    p.text(852, 38, "Emerald Rapids class, 2 threads, probed", 12, MUTED, anchor="end")
    left, right, top, bottom = 84, 836, 88, 420

    def at(rows, rate):
        u = math.log(rows / fewest) / math.log(most / fewest)
        v = math.log(rate / lowest) / math.log(highest / lowest)
        return round(left + u * (right - left), 1), round(bottom - v * (bottom - top), 1)

    p.cell(left, top, right - left, bottom - top, (PAPER, LINE))
    for rows in (1, 2, 4, 8, 16, 32, 64):
        x, _ = at(rows, lowest)
        if left < x < right:
            p.line((x, top), (x, bottom), stroke="#e2e8f0")
        p.text(x, bottom + 20, str(rows), 12)
    for rate in (50, 100, 200, 400, 800):
        _, y = at(fewest, rate)
        if top < y < bottom:
            p.line((left, y), (right, y), stroke="#e2e8f0")
        p.text(left - 10, y + 4, str(rate), 12, anchor="end")
    p.text((left + right) / 2, bottom + 46, "rows per expert, M", 13)
    p.text(left - 10, top - 10, "GFLOP/s", 13, anchor="start")

    # Memory: two operations for each byte and row, up to the highest peak and, dashed, a little beyond.
    highest_peak = engines[0][1]
    p.line(at(fewest, 2 * fewest * read), at(highest_peak / (2 * read), highest_peak), stroke=INK, width=2)
    p.line(at(highest_peak / (2 * read), highest_peak), at(highest / (2 * read), highest), stroke=LINE, width=1.4, dash="5 4")
    x, y = at(4, 2 * 4 * read)
    p.text(x - 18, y - 14, f"memory: 2 · M · {read:g} GB/s", 13, anchor="end", weight=600)
    for name, peak, colour in engines:
        cross = peak / (2 * read)
        x, y = at(cross, peak)
        p.line((x, y), (right, y), stroke=colour, width=2.4)
        p.line((x, y), (x, bottom), stroke=colour, width=1.2, dash="2 4")
        p.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="4.5" fill="{colour}" stroke="{PAPER}" stroke-width="1.5"/>')
        p.text(right - 12, y + 19, f"{name}: {peak:g}", 13, anchor="end", weight=600)
        p.text(x + 7, bottom - 10, f"M = {cross:.1f}" if cross < 10 else f"M = {cross:.0f}", 12, anchor="start", weight=600)
    p.text(28, 488, "Left of its mark an engine waits for memory, as any other does; right of it its own arithmetic is the limit.", 12, MUTED, anchor="start")
    p.save(file)


def cuda_hopper(file):
    plain, gate, up_, rows_ = (PAPER, LINE), BLUE, VIOLET, AMBER
    p = picture(880, 730, "The Hopper grouped GEMM: a prefill tile from memory to hidden rows, the order of tiles, a decode tile")
    p.text(28, 38, "Many rows an expert: rows of x are the wgmma's rows", 16, anchor="start", weight=600)
    p.text(852, 38, "a layer's first GEMM; E4M3, 128 columns a step", 12, MUTED, anchor="end")

    # Memory: x, gate, up, each with the box that TMA brings.
    x, w, step = 28, 150, 40
    for i, (name, note, colour, boxed) in enumerate((("x", "rows sorted by expert", rows_, "128 rows"), ("gate", "of the expert", gate, "128 rows"),
                                                     ("up", "of the expert", up_, "128 rows"))):
        y = 76 + i * 112
        p.text(x, y - 8, name, 13, anchor="start", mono=True, weight=600)
        p.text(x + 8 * len(name) + 8, y - 8, note, 12, MUTED, anchor="start")
        p.cell(x, y, w, 78, plain)
        for k in range(4):
            p.cell(x + 6 + k * 34, y + 22, 34, 34, colour if k == 1 else plain)
        p.text(x + w - 4, y + 72, f"{boxed} × 128 columns", 10, MUTED, anchor="end")
        p.arrow((x + 6 + 2 * 34, y + 39), *([(206, y + 39), (206, 274)] if i == 2 else []), (226, 274 if i == 2 else y + 39))

    # The ring.
    rx, ry, sw = 228, 92, 44
    p.text(rx, ry - 24, "shared memory", 13, anchor="start", weight=600)
    p.text(rx, ry - 8, "4 stages of 48 KB", 12, MUTED, anchor="start")
    for stage in range(4):
        left = rx + stage * (sw + 4)
        for i, (colour, name) in enumerate(((rows_, "x"), (gate, "g"), (up_, "u"))):
            p.cell(left, ry + i * 74, sw, 68, colour, name, 13)
        p.text(left + sw / 2, ry + 240, str(stage), 11, MUTED)
    p.text(rx + 94, ry + 262, "a full and an empty barrier each", 12, MUTED)
    p.box(rx, ry + 278, 188, 44, GREEN, "producer", "one thread, TMA; 24 registers")

    # The warpgroups.
    mx, mw = 452, 212
    for i, name in enumerate(("warpgroup 0", "warpgroup 1")):
        y = 92 + i * 126
        p.cell(mx, y, mw, 112, GREEN)
        p.text(mx + 10, y + 19, name, 13, anchor="start", mono=True, weight=600)
        p.text(mx + mw - 10, y + 19, f"rows {64 * i} to {64 * i + 63}", 12, MUTED, anchor="end")
        p.cell(mx + 10, y + 30, 92, 32, gate, "gate", 12)
        p.cell(mx + 110, y + 30, 92, 32, up_, "up", 12)
        p.text(mx + mw / 2, y + 80, "total += sum · both scales", 12)
        p.text(mx + mw / 2, y + 98, "one fma for 128 columns of wgmma", 11, MUTED)
        p.arrow((rx + 190, y + 56), (mx - 3, y + 56))
        p.arrow((mx + mw, y + 56), (700, y + 56))
    p.text(mx + mw / 2, 92 + 264, "240 registers: 128 totals, 64 sums", 12, MUTED)
    p.text(mx + mw / 2, 92 + 282, "one promotes, the other multiplies", 12, MUTED)

    # The epilogue.
    ex = 702
    for i in range(2):
        p.box(ex, 118 + i * 126, 150, 60, VIOLET, "SwiGLU", "scale of 128, E4M3 codes")
    p.text(ex + 75, 92 + 264, "128 hidden columns", 12, MUTED)
    p.text(ex + 75, 92 + 282, "(down: stored as bf16)", 12, MUTED)

    # The order of tiles.
    top = 456
    p.line((28, 430), (852, 430), stroke="#e2e8f0")
    p.text(28, top, "The order of tiles", 16, anchor="start", weight=600)
    c, tx, ty = 15, 28, top + 26
    for row in range(9):
        for column in range(16):
            index = (column // 8) * 72 + row * 8 + column % 8
            p.cell(tx + column * c, ty + row * c, c, c, GREEN if index < 68 else plain)
    for row in range(9):
        p.line((tx + 3, ty + row * c + c / 2), (tx + 8 * c - 3, ty + row * c + c / 2), stroke=GREEN[1], width=1)
    p.line((tx + 8 * c, ty - 4), (tx + 8 * c, ty + 9 * c + 4), stroke=INK, width=1.6)
    p.text(tx, ty + 9 * c + 20, "down strips of 8 tile columns, row by row.", 12, MUTED, anchor="start")
    p.text(tx, ty + 9 * c + 37, "Blocks that run at one time (green) share a few", 12, MUTED, anchor="start")
    p.text(tx, ty + 9 * c + 54, "rows of x; the strip's weights stay in L2.", 12, MUTED, anchor="start")
    p.text(tx, ty + 9 * c + 71, "The tiles of all experts are one list that each", 12, MUTED, anchor="start")
    p.text(tx, ty + 9 * c + 88, "block counts from expert_offsets.", 12, MUTED, anchor="start")

    # The decode tile.
    dx = 330
    p.text(dx, top, "Few rows an expert: weights are the wgmma's rows", 16, anchor="start", weight=600)
    dy = top + 44
    p.text(dx, dy - 10, "ring of 10 stages", 13, anchor="start", weight=600)
    p.text(dx + 140, dy - 10, "16 KB of weights, 16 to 64 tokens; 5 with gate and up", 12, MUTED, anchor="start")
    for stage in range(10):
        p.cell(dx + stage * 28, dy, 26, 56, gate, "W" if stage < 7 else "", 12)
        p.cell(dx + stage * 28, dy + 58, 26, 15, rows_, "x" if stage < 3 else "", 10)
    p.text(dx + 292, dy + 22, "W, at once: the first tile's weights", 12, anchor="start")
    p.text(dx + 292, dy + 39, "are under way while the kernel", 12, MUTED, anchor="start")
    p.text(dx + 292, dy + 53, "ahead is still making x", 12, MUTED, anchor="start")
    p.text(dx + 292, dy + 70, "x: behind griddepcontrol.wait", 12, anchor="start")
    ay = dy + 106
    for i in range(2):
        p.cell(dx, ay + i * 52, 150, 46, GREEN)
        p.text(dx + 75, ay + i * 52 + 20, f"warpgroup {i}", 12, mono=True, weight=600)
        p.text(dx + 75, ay + i * 52 + 36, f"weight rows {64 * i} to {64 * i + 63}", 11, MUTED)
        p.cell(dx + 158, ay + i * 52, 60, 46, rows_, "16", 12)
    p.text(dx + 188, ay - 8, "tokens", 11, MUTED)
    p.arrow((dx + 220, ay + 49), (dx + 244, ay + 49))
    p.text(dx + 250, ay + 28, "transposed in shared memory (stmatrix),", 12, MUTED, anchor="start")
    p.text(dx + 250, ay + 45, "so that rows of the result are written whole.", 12, MUTED, anchor="start")
    p.text(dx + 250, ay + 69, "The same 128 columns in the same order,", 12, anchor="start")
    p.text(dx + 250, ay + 86, "the same fma: the same bits.", 12, anchor="start")
    p.save(file)


if __name__ == "__main__":
    to = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "docs"
    rooms(to / "rooms.svg")
    dataflow(to / "dataflow.svg")
    cpu_layout(to / "cpu_layout.svg")
    cpu_roofline(to / "cpu_roofline.svg")
    cuda_hopper(to / "cuda_hopper.svg")
