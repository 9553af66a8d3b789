#!/usr/bin/env python3
"""What torch reaches on this card with the products of a Mixture-of-Experts layer: the peers that a machine with torch has. Under 60 seconds.

  python3 bench/gpu/peers.py [--out FILE] [--seconds 55]

Products are Y[M, N] = X[M, K] W[N, K]^T with bf16 results, dense and in groups (each group has rows and a weight of its own):
  scaled_mm 1x128 x 128x128   E4M3 with DeepSeek-V3's scales through cuBLASLt; in groups, one call an expert
  scaled_mm per tensor        E4M3, one scale each, fast accumulation: an upper bound without block scales
  _scaled_grouped_mm by rows  E4M3, a scale per row of X and of W: torch's own grouped kernel, no block scales
  _grouped_mm bf16            bf16
Random codes, weights rotated so that none is found in a cache, CUDA graphs so that Python costs nothing (else eager, and said), the first and
last rows of every result compared with float64. One JSON object a line; an item that fails is one line with its error.
"""
import argparse
import json
import math
import statistics
import sys
import time

try:
    import torch
except ImportError as e:
    print(f"no torch here: {e}")
    sys.exit(77)  # gpu_run.sh calls that skipped

device = "cuda"
fp8 = torch.float8_e4m3fn
shapes = [(4096, 7168), (7168, 2048)]  # N, K: gate and up, then down


def codes(*shape):
    """E4M3 codes as quantised normal numbers have them: the largest of 128 becomes 448."""
    out = torch.empty(shape, dtype=fp8, device=device)
    flat = out.view(-1, shape[-1])
    step = max(1, (256 << 20) // shape[-1])
    for i in range(0, flat.shape[0], step):
        part = torch.randn((min(step, flat.shape[0] - i), shape[-1]), dtype=torch.bfloat16, device=device)
        flat[i : i + step] = part.mul_(160.0).clamp_(-448.0, 448.0).to(fp8)
    return out


def scales(*shape):
    return torch.rand(shape, device=device).mul_(1.5).add_(0.5).mul_(1.0 / 256.0)


class Operands:
    """`sets` of weights [sets][groups, N, K] and one X [groups * rows, K], with every kind of scale that a peer takes."""

    def __init__(self, groups, rows, n, k, bf16=False):
        self.groups, self.rows, self.n, self.k, self.bf16 = groups, rows, n, k, bf16
        m, blocks = groups * rows, k // 128
        bytes_of_set = groups * n * k * (2 if bf16 else 1)
        self.sets = max(2, min(8, math.ceil((256 << 20) / bytes_of_set)))
        if bf16:
            self.x = torch.randn((m, k), dtype=torch.bfloat16, device=device)
            self.w = [torch.randn((groups, n, k), dtype=torch.bfloat16, device=device) for _ in range(self.sets)]
        else:
            self.x = codes(m, k)
            self.w = [codes(groups, n, k) for _ in range(self.sets)]
            # Each group's [K/128][rows], as cuBLASLt reads them; seen as [rows, K/128] with strides (1, rows).
            self.x_blocks = [scales(blocks, rows).t() for _ in range(groups)]
            # [N/128][K/128]; seen as [K/128, N/128] with strides (1, K/128). cuBLASLt wants K/128 padded to a multiple of 4: here it is one.
            assert blocks % 4 == 0
            self.w_blocks = [scales(groups, n // 128, blocks) for _ in range(self.sets)]
            self.x_rows, self.w_rows = scales(m), [scales(groups, n) for _ in range(self.sets)]
            self.x_one, self.w_one = scales(1)[0], scales(1)[0]
        self.ends = torch.arange(1, groups + 1, device=device, dtype=torch.int32) * rows

    def exact(self, kind, group, row):
        """Row `row` of group `group` with the weights of set 0, in float64."""
        x, w = self.x[group * self.rows + row].float().double(), self.w[0][group].float().double()
        if kind == "block":
            x = x * self.x_blocks[group][row].double().repeat_interleave(128)
            w = w * self.w_blocks[0][group].double().repeat_interleave(128, 0).repeat_interleave(128, 1)
        elif kind == "rows":
            x, w = x * self.x_rows[group * self.rows + row].double(), w * self.w_rows[0][group].double()[:, None]
        elif kind == "one":
            x, w = x * self.x_one.double(), w * self.w_one.double()
        return w @ x


def block_call():
    """The spellings of a block-scaled product that torch has had, newest first."""
    f = torch.nn.functional

    def newest(x, w, xs, ws):
        return f.scaled_mm(x, w.t(), xs, f.ScalingType.BlockWise1x128, ws.t(), f.ScalingType.BlockWise128x128, output_dtype=torch.bfloat16)

    def swizzles_named(x, w, xs, ws):
        none = f.SwizzleType.NO_SWIZZLE
        return f.scaled_mm(x, w.t(), xs, f.ScalingType.BlockWise1x128, ws.t(), f.ScalingType.BlockWise128x128, none, none, None, torch.bfloat16)

    def private(x, w, xs, ws):
        return torch._scaled_mm(x, w.t(), xs, ws.t(), out_dtype=torch.bfloat16)

    return [newest, swizzles_named, private]


def first_that_works(calls, *arguments):
    errors = []
    for call in calls:
        try:
            call(*arguments)
            torch.cuda.synchronize()
            return call
        except Exception as e:  # noqa: BLE001: whatever torch throws is what is reported
            errors.append(f"{call.__name__}: {one_line(e)}")
    raise RuntimeError("; ".join(errors))


def one_line(e):
    return " ".join(f"{type(e).__name__}: {e}".split())[:300]


def microseconds(step, sets, samples=11, at_least=2000.0):
    """Median, least and most of `samples`, each over enough calls of step(set) to fill `at_least` microseconds; and how they ran."""
    for i in range(sets):
        step(i)
    torch.cuda.synchronize()
    how, runs = "graph", []
    try:
        for i in range(sets):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step(i)
            runs.append(graph.replay)
    except Exception:  # noqa: BLE001: some calls cannot be captured
        torch.cuda.synchronize()
        how, runs = "eager", [lambda i=i: step(i) for i in range(sets)]
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(samples + 1)]
    for i in range(3):
        runs[i % sets]()
    marks[0].record()
    for i in range(3):
        runs[i % sets]()
    marks[1].record()
    torch.cuda.synchronize()
    calls = max(1, min(1000, math.ceil(at_least / max(marks[0].elapsed_time(marks[1]) * 1e3 / 3, 1.0))))
    at = 0
    marks[0].record()
    for mark in marks[1:]:
        for _ in range(calls):
            runs[at % sets]()
            at += 1
        mark.record()
    torch.cuda.synchronize()
    us = [a.elapsed_time(b) * 1e3 / calls for a, b in zip(marks, marks[1:])]
    return statistics.median(us), min(us), max(us), how


class Bench:
    def __init__(self, path, seconds):
        self.file = open(path, "a", encoding="utf-8") if path else None
        self.end = time.monotonic() + seconds
        self.wrong = 0

    def write(self, line):
        if self.file:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def item(self, peer, kind, groups, rows, n, k, make):
        """make() -> (Operands, step): step(set) runs the product with that set of weights and returns a result [.., N] of set's first and last group."""
        line = {"item": "peer", "peer": peer, "groups": groups, "rows": rows, "n": n, "k": k}
        if time.monotonic() > self.end:
            self.write(line | {"error": "out of time"})
            print(f"{'out of time':>44}   {peer}, {groups} x {rows} x N{n} K{k}")
            return
        try:
            o, step = make()
            y = step(0)
            y = y if isinstance(y, list) else [y[g * rows : (g + 1) * rows] for g in range(groups)]
            worst = 0.0
            for group, row in ((0, 0), (groups - 1, rows - 1)):
                exact = o.exact(kind, group, row)
                error = (torch.linalg.norm(y[group][row].double() - exact) / torch.linalg.norm(exact)).item()
                worst = error if not error <= worst else worst
            del y
            right = worst < 0.02
            self.wrong += not right
            us, least, most, how = microseconds(step, o.sets)
            operations, bytes_of_weights = 2.0 * groups * rows * n * k, groups * n * k * (2 if o.bf16 else 1)
            line |= {"us": us, "us_min": least, "us_max": most, "how": how, "tflops": operations / us * 1e-6, "gb_per_s": bytes_of_weights / us * 1e-3}
            line |= {"worst_error": worst, "correct": right}
            print(f"{us:9.1f} us {line['tflops']:8.1f} TFLOP/s {line['gb_per_s']:7.0f} GB/s{'' if right else '  WRONG'}   {peer}, "
                  f"{groups} x {rows} x N{n} K{k}, {how}, error {worst:.4f}")
        except Exception as e:  # noqa: BLE001
            line |= {"error": one_line(e)}
            print(f"{'failed':>44}   {peer}, {groups} x {rows} x N{n} K{k}: {one_line(e)}")
        self.write(line)
        sys.stdout.flush()


def block(groups, rows, n, k):
    def make():
        o = Operands(groups, rows, n, k)
        x = o.x.view(groups, rows, k)
        call = first_that_works(block_call(), x[0], o.w[0][0], o.x_blocks[0], o.w_blocks[0][0])
        return o, lambda s: [call(x[g], o.w[s][g], o.x_blocks[g], o.w_blocks[s][g]) for g in range(groups)]
    return make


def per_tensor(rows, n, k):
    def make():
        o = Operands(1, rows, n, k)
        return o, lambda s: torch._scaled_mm(o.x, o.w[s][0].t(), o.x_one, o.w_one, out_dtype=torch.bfloat16, use_fast_accum=True)
    return make


def grouped_rows(groups, rows, n, k):
    def make():
        o = Operands(groups, rows, n, k)
        return o, lambda s: torch._scaled_grouped_mm(o.x, o.w[s].transpose(-2, -1), o.x_rows, o.w_rows[s], offs=o.ends, out_dtype=torch.bfloat16,
                                                    use_fast_accum=True)
    return make


def grouped_bf16(groups, rows, n, k):
    def make():
        o = Operands(groups, rows, n, k, bf16=True)
        call = first_that_works([lambda w: torch._grouped_mm(o.x, w, offs=o.ends, out_dtype=torch.bfloat16),
                                 lambda w: torch._grouped_mm(o.x, w, offs=o.ends),
                                 lambda w: torch.nn.functional.grouped_mm(o.x, w, offs=o.ends)], o.w[0].transpose(-2, -1))
        return o, lambda s: call(o.w[s].transpose(-2, -1))
    return make


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="")
    parser.add_argument("--seconds", type=float, default=55.0)
    arguments = parser.parse_args()
    bench = Bench(arguments.out, arguments.seconds)
    torch.manual_seed(1)
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    bench.write({"item": "torch", "version": torch.__version__, "card": torch.cuda.get_device_name()})
    # The most telling first: time may run out.
    for rows in (32768, 8192, 4096):
        for n, k in shapes:
            bench.item("scaled_mm 1x128 x 128x128", "block", 1, rows, n, k, block(1, rows, n, k))
            bench.item("scaled_mm per tensor", "one", 1, rows, n, k, per_tensor(rows, n, k))
    for groups, rows in ((8, 4096), (8, 1024), (8, 64), (8, 4), (32, 64), (32, 4), (32, 1024)):
        for n, k in shapes:
            bench.item("_scaled_grouped_mm by rows", "rows", groups, rows, n, k, grouped_rows(groups, rows, n, k))
            bench.item("scaled_mm 1x128 x 128x128 an expert", "block", groups, rows, n, k, block(groups, rows, n, k))
            bench.item("_grouped_mm bf16", "none", groups, rows, n, k, grouped_bf16(groups, rows, n, k))
            torch.cuda.empty_cache()
    return 0 if bench.wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
