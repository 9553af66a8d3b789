"""The operator of moe_torch.cpp beside the same layer in plain PyTorch.   check.py libmoe_torch.so"""
import sys
import warnings

warnings.filterwarnings("ignore", message=".*NumPy.*")
import torch
import torch.nn.functional as F

H, I, E, K, T = 64, 32, 16, 4, 9


def plain(x, router, gate, up, down):
    weights, ids = torch.topk(F.softmax(x @ router.T, dim=-1), K)
    weights = weights / weights.sum(-1, keepdim=True)
    y = torch.zeros_like(x)
    for t in range(T):
        for w, e in zip(weights[t], ids[t]):
            y[t] += w * (down[e] @ (F.silu(gate[e] @ x[t]) * (up[e] @ x[t])))
    return y


torch.ops.load_library(sys.argv[1])
torch.manual_seed(1)
weights = [0.3 * torch.randn(E, H), 0.3 * torch.randn(E, I, H), 0.3 * torch.randn(E, I, H), 0.3 * torch.randn(E, H, I)]
layer = torch.classes.moesaic.Moe(*weights)
moe = torch.ops.moesaic.moe
x = torch.randn(T, H)
right = plain(x, *weights)


def say(what, ok):
    print(what + ":", "yes" if ok else "NO")
    return ok


y = moe(x, layer)
ok = say("fp32, plain PyTorch agrees to within 1e-5 of the largest y", (y - right).abs().max() < 1e-5 * right.abs().max())
xb = x.bfloat16()
off = (moe(xb, layer).float() - plain(xb.float(), *weights)).abs().max()
ok &= say("bf16, to within bf16's rounding", off <= right.abs().max() * 2**-8)
torch.set_num_threads(1)
ok &= say("one thread, the same bits", torch.equal(moe(x, layer), y))
ok &= say("one token, the same bits", torch.equal(moe(x[3:4], layer), y[3:4]))
try:
    moe(x[:, :-1], layer)
    ok = False
except RuntimeError as e:
    print("a column too few:", str(e).splitlines()[0])
sys.exit(0 if ok else 1)
