#!/usr/bin/env python3
"""What compiling says of the CUDA kernels: no GPU is needed to see a spill, a serialised wgmma, or an instruction that is not there.

  gates.py ptxas --nvcc NVCC --out DIR [--only WORD]     compiles the translation units of gate_list.py to DIR/*.cubin and reads ptxas's report:
                                                         no warning, no spill, no stack frame, no message C75xx (wgmma or setmaxnreg
                                                         given up), less than thrice the processor's time that the unit may take:
                                                         busy neighbours cost a factor of two
  gates.py sass --nvdisasm NVDISASM --out DIR [--only WORD]   reads the cubins of the first: the instructions that gate_list.py wants and refuses,
                                                         no load or store of local memory, the highest register
  gates.py self-test --nvcc NVCC --out DIR [--nvdisasm NVDISASM]   the kernels of bad/ turn each gate red, fine.cu none

Prints a table of the kernels and one line for every fault. Exit status: 0 clean, 1 faults, 77 there is no disassembler.
"""
import argparse
import pathlib
import re
import resource
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gate_list import GATES, Gate, Kernel  # noqa: E402


# Accesses of memory that other kernels write. Generic ones (LD, ST) may be of it.
GLOBAL_MEMORY = r"(LDG|STG|LD|ST|ATOM|ATOMG|RED|REDG|UTMALDG|UTMASTG|UBLKCP|LDGSTS)(\.|$)"


def compile_unit(gate, nvcc, host, out):
    """Writes gate's cubin; gives nvcc's output, whether it succeeded, and the seconds of a processor that it took."""
    command = [nvcc, "-std=c++20", "-O3", f"-gencode=arch=compute_{gate.arch},code=sm_{gate.arch}", "-cubin", "-Xptxas=-v", "-Werror=all-warnings",
               f"-I{root / 'include'}", f"-I{root}", *gate.flags, "-o", str(cubin(gate, out)), str(root / gate.source)]
    if host:
        command.insert(1, f"-ccbin={host}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, done.returncode == 0, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cubin(gate, out):
    return out / (gate.source.replace("/", "_") + f".{gate.arch}{''.join(gate.flags)}.cubin")


def read_ptxas(text):
    """Of each kernel: its stack, spills and registers; and what ptxas says of wgmma and setmaxnreg, which it calls information."""
    functions, faults, name = {}, [], None
    for line in text.splitlines():
        if re.search(r"\bC75\d\d\b", line):
            faults.append(line.strip())
        if m := re.search(r"Function properties for (\S+)", line):
            name = m[1]
        if m := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            functions[name] = {"stack": int(m[1]), "spills": int(m[2]) + int(m[3]), "registers": 0}
        if (m := re.search(r"Used (\d+) registers", line)) and name in functions:
            functions[name]["registers"] = int(m[1])
    return functions, faults


def read_sass(text):
    """Of each kernel: how often each opcode stands in it, in which order they do, and the highest register that it names."""
    kernels, name = {}, None
    for line in text.splitlines():
        if m := re.match(r"\.text\.(\S+):", line):
            name = m[1]
            kernels[name] = {"opcodes": {}, "order": [], "highest": 0}
        elif m := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+\{?\s*(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)", line):
            if name is None:
                continue
            opcodes = kernels[name]["opcodes"]
            opcodes[m[1]] = opcodes.get(m[1], 0) + 1
            kernels[name]["order"].append(m[1])
            for r in re.findall(r"\bR(\d+)\b", m[2]):
                kernels[name]["highest"] = max(kernels[name]["highest"], int(r))
    return kernels


def named(word, rule, kernels, faults):
    """The kernels that a rule is for."""
    found = {name: seen for name, seen in kernels.items() if word in name and not any(other in name for other in rule.but)}
    if not found:
        faults.append(f"no kernel has {word} in its name")
    return found


def check_sass(gate, kernels):
    """The faults of gate's kernels, and a table row for each kernel that a rule names."""
    faults, rows = [], []
    for word, rule in gate.kernels.items():
        for name, seen in named(word, rule, kernels, faults).items():
            count = lambda pattern: sum(n for opcode, n in seen["opcodes"].items() if re.match(pattern, opcode))  # noqa: E731
            local = count(r"LDL|STL")
            if local:
                faults.append(f"{name}: {local} loads or stores of local memory")
            for pattern in rule.has:
                if not count(pattern):
                    faults.append(f"{name}: no {pattern}")
            for pattern in rule.lacks:
                if count(pattern):
                    faults.append(f"{name}: {count(pattern)} times {pattern}")
            if rule.first:
                ahead = next((opcode for opcode in seen["order"] if re.match(rule.first, opcode) or re.match(GLOBAL_MEMORY, opcode)), "nothing")
                if not re.match(rule.first, ahead):
                    faults.append(f"{name}: {ahead} ahead of any {rule.first}")
            if rule.registers and seen["highest"] >= rule.registers:
                faults.append(f"{name}: names R{seen['highest']}, of {rule.registers} registers")
            rows.append(f"  {name[:120]:120} R{seen['highest']:<4} " + ", ".join(f"{p} {count(p)}" for p in rule.has))
    return faults, rows


def ptxas(gate, arguments):
    text, built, seconds = compile_unit(gate, arguments.nvcc, arguments.host, arguments.out)
    functions, faults = read_ptxas(text)
    if not built:
        return ["does not compile:\n" + "\n".join(text.splitlines()[-20:])], []
    over = gate.seconds and seconds > gate.seconds
    rows = [f"  {seconds:.1f} s" + (f", more than the {gate.seconds} that it may take of a quiet machine" if over else "")]
    if over and seconds > 3 * gate.seconds:
        faults.append(f"takes {seconds:.1f} s of a processor, of {gate.seconds}")
    for word, rule in gate.kernels.items():
        for name, seen in named(word, rule, functions, faults).items():
            if seen["stack"]:
                faults.append(f"{name}: a stack frame of {seen['stack']} bytes")
            if seen["spills"]:
                faults.append(f"{name}: {seen['spills']} bytes spilled and read back")
            rows.append(f"  {name[:120]:120} {seen['registers']:3} registers")
    return faults, rows


def sass(gate, arguments):
    path = cubin(gate, arguments.out)
    if not path.exists():
        return [f"no {path}: gates.py ptxas writes it"], []
    done = subprocess.run([arguments.nvdisasm, "-c", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        return [f"{arguments.nvdisasm}: {done.stdout.strip()[:300]}"], []
    kernels = read_sass(done.stdout)
    return check_sass(gate, kernels) if kernels else (["nothing disassembled"], [])


def self_test(arguments):
    """(a translation unit and its rules, which gate, what its fault has to say or None)"""
    here = "tests/gpu_gates/bad/"
    fine = {"fine": Kernel(has=("LDG.*128",), lacks=("HMMA",), registers=64)}
    every = {"": Kernel()}
    cases = [
        (Gate(here + "fine.cu", kernels=fine), ptxas, None),
        (Gate(here + "spills.cu", kernels=every), ptxas, "bytes spilled"),
        (Gate(here + "stack.cu", kernels=every), ptxas, "a stack frame of"),
        (Gate(here + "serialised.cu", kernels=every), ptxas, "C7514"),
        (Gate(here + "not_there.cu", kernels=every), ptxas, "does not compile"),
        (Gate(here + "warns.cu", kernels=every), ptxas, "does not compile"),
        (Gate(here + "fine.cu", kernels=fine, seconds=0.001), ptxas, "s of a processor"),
        (Gate(here + "fine.cu", kernels={"other": Kernel()}), ptxas, "no kernel has other"),
    ]
    if arguments.nvdisasm:
        cases += [
            (Gate(here + "fine.cu", kernels=fine), sass, None),
            (Gate(here + "stack.cu", kernels=every), sass, "local memory"),
            (Gate(here + "fine.cu", kernels={"fine": Kernel(has=("QGMMA",))}), sass, "no QGMMA"),
            (Gate(here + "fine.cu", kernels={"fine": Kernel(lacks=("STG",))}), sass, "times STG"),
            (Gate(here + "fine.cu", kernels={"fine": Kernel(registers=4)}), sass, "of 4 registers"),
            (Gate(here + "fine.cu", kernels={"fine": Kernel(first="LDG")}), sass, None),
            (Gate(here + "fine.cu", kernels={"fine": Kernel(first="STG")}), sass, "ahead of any STG"),
            (Gate(here + "fine.cu", kernels={"fine": Kernel(first="ACQBULK")}), sass, "ahead of any ACQBULK"),
            (Gate(here + "fine.cu", kernels={"": Kernel(but=("fine",))}), sass, "no kernel has"),
            (Gate(here + "serialised.cu", kernels={"serialised": Kernel(has=("QGMMA",))}), sass, None),
        ]
    wrong = 0
    for gate, check, wanted in cases:
        faults, _ = check(gate, arguments)
        good = not faults if wanted is None else any(wanted in fault for fault in faults)
        wrong += not good
        print(f"{'as it should' if good else 'WRONG':12}  {check.__name__:5} {gate.source}: wanted {wanted or 'no fault'}, got {faults or 'none'}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("ptxas", "sass", "self-test"))
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--host", default="")
    parser.add_argument("--nvdisasm", default="")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.what == "self-test":
        return 1 if self_test(arguments) else 0
    if arguments.what == "sass" and not arguments.nvdisasm:
        print("skipped: no nvdisasm (the Python package nvidia-cuda-nvdisasm brings one)")
        return 77
    check = ptxas if arguments.what == "ptxas" else sass
    count = 0
    for gate in GATES:
        if arguments.only not in gate.source:
            continue
        print(f"{gate.source} for sm_{gate.arch}")
        faults, rows = check(gate, arguments)
        print("\n".join(rows + [f"  FAULT: {fault}" for fault in faults]))
        sys.stdout.flush()
        count += len(faults)
    print(f"{count} faults")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
