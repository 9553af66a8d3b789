#!/usr/bin/env python3
"""Draws docs/rooms.svg and docs/dataflow.svg. Standard library only.

scripts/pictures.py [FOLDER]    FOLDER: where they go, docs/ unless told. The rooms and doors come from tests/rooms/check.sh, which enforces them.
"""
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
             "reference": "the oracle", "cpu": "packed, any pool", "kokkos": "teams, portable", "cuda": "next", "pipeline": "stages, forward",
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


if __name__ == "__main__":
    to = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "docs"
    rooms(to / "rooms.svg")
    dataflow(to / "dataflow.svg")
