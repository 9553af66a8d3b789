"""The translation units that gates.py compiles, and what it wants of their kernels.

A rule is for all kernels that have its key in their mangled name; a unit's other kernels, say of a benchmark itself, may do as they like.
Opcodes are regular expressions on SASS, matched at its start: QGMMA and HGMMA are wgmma with E4M3 and bf16, HMMA is mma.sync, UTMALDG a
tensor copy, UBLKCP a bulk copy, SYNCS an mbarrier, LDG.*128 a load of 16 bytes.
"""
from dataclasses import dataclass, field


@dataclass
class Kernel:
    has: tuple = ()      # opcodes that must be there
    lacks: tuple = ()    # opcodes that must not; loads and stores of local memory never may
    first: str = ""      # an opcode that stands ahead of all that access the memory of the device
    but: tuple = ()      # pieces of the names of kernels that the rule is not for
    registers: int = 0   # how many it may name; 0: as many as there are


@dataclass
class Gate:
    source: str                                  # in the repository
    arch: str = "90a"
    flags: tuple = ()                            # for nvcc
    seconds: float = 0                           # of a processor, that nvcc may take for it on a quiet machine; 0: as many as it likes
    kernels: dict = field(default_factory=dict)  # piece of a mangled name -> Kernel


WAITS = {"first": "ACQBULK", "but": ("router_gemm_kernel", "store_addresses", "probe")}
CANNOT_WAIT = {"lacks": ("ACQBULK",)}

GATES = [
    Gate("bench/gpu/ceilings.cu", kernels={
        "read_tiles": Kernel(has=(r"LDG.*128",), registers=128),
        "copy_tiles": Kernel(has=(r"LDG.*128", r"STG.*128"), registers=128),
        "write_tiles": Kernel(has=(r"STG.*128",)),
        "bulk_read": Kernel(has=(r"UBLKCP", r"SYNCS.*TRYWAIT")),
    }),
    Gate("bench/gpu/gemm.cu", kernels={
        # 384 threads: 240 registers after setmaxnreg, 168 without it
        "row_gemm_kernel": Kernel(has=(r"QGMMA", r"UTMALDG", r"USETMAXREG", r"SYNCS.*TRYWAIT"), lacks=(r"HMMA",), registers=240),
        "weight_gemm_kernel": Kernel(has=(r"QGMMA", r"UTMALDG", r"SYNCS.*TRYWAIT"), lacks=(r"HMMA",), registers=168),
    }),
    Gate("bench/gpu/router.cu", kernels={
        "router_tileILi64E": Kernel(has=(r"HGMMA", r"UTMALDG", r"SYNCS.*TRYWAIT", r"UCGABAR_ARV"), lacks=(r"HMMA",), registers=168),
        "router_tileILi128ELi64EE": Kernel(has=(r"HGMMA", r"UTMALDG", r"SYNCS.*TRYWAIT", r"UCGABAR_ARV"), lacks=(r"HMMA",), registers=168),
        "router_tileILi128ELi128EE": Kernel(has=(r"HGMMA", r"UTMALDG", r"SYNCS.*TRYWAIT", r"UCGABAR_ARV"), lacks=(r"HMMA",), registers=168),
        "router_tileILi128ELi256EE": Kernel(has=(r"HGMMA", r"UTMALDG", r"USETMAXREG", r"SYNCS.*TRYWAIT", r"UCGABAR_ARV"), lacks=(r"HMMA",),
                                            registers=240),
    }),
    *(Gate(f"examples/gpu_gemm/{step}.cu", kernels={"_kernel": Kernel(has=(r"QGMMA", *copies), registers=registers)})
      for step, copies, registers in (("1_naive", (r"LDG.*128", r"STS.*128"), 0), ("2_tma", (r"UTMALDG",), 0), ("3_pipeline", (r"UTMALDG",), 0),
                                      ("4_promotion", (r"UTMALDG", r"USETMAXREG"), 240), ("5_fused", (r"UTMALDG", r"USETMAXREG"), 240))),
    Gate("tests/gpu_gates/units/portable_gemm.cu", kernels={
        "fma_gemm": Kernel(has=(r"FFMA", r"LDS.*128")),
        "skinny_gemm": Kernel(has=(r"HMMA.16816.F32.BF16",)),
        "panel_gemm": Kernel(has=(r"HMMA.16816.F32.BF16",)),
    }),
    *(Gate("tests/gpu_gates/units/portable_gemm.cu", arch=arch, kernels={"": Kernel()}) for arch in ("80", "89", "100a", "120a")),
    # One layer: Hopper's kernels, and everybody's for the others.
    # From 9.0 on a kernel of forward waits for the one ahead of it, griddepcontrol.wait, before it touches memory. Hopper's grouped GEMMs read
    # offsets and weights before; what is not forward's does not wait, nor do kernels that are empty.
    Gate("tests/gpu_gates/units/layer.cu", seconds=20, kernels={
        "": Kernel(first="ACQBULK", but=("row_gemm_kernel", "weight_gemm_kernel", "probe")),
        "row_gemm_kernel": Kernel(has=("ACQBULK", "PREEXIT")),
        "weight_gemm_kernel": Kernel(has=("ACQBULK", "PREEXIT")),
        "probe": Kernel(lacks=("ACQBULK",)),
    }),
    Gate("tests/gpu_gates/units/layer.cu", flags=("-DUE8M0",), seconds=20, kernels={
        "row_gemm_kernel": Kernel(has=("QGMMA", "ACQBULK", "PREEXIT"), registers=240),
        "weight_gemm_kernel": Kernel(has=("QGMMA", "ACQBULK", "PREEXIT"), registers=168),
    }),
    # Rows that the step up gathers by cp.async, of tiles whose producer has the registers for it.
    Gate("tests/gpu_gates/units/layer.cu", flags=("-DGATHERS",), seconds=20, kernels={
        "gathering": Kernel(has=("QGMMA", "UTMALDG", "LDGSTS", "USETMAXREG", "ACQBULK", "PREEXIT"), registers=224),
        "weight_gemm_kernelINS2_11weight_tileILi16ELi2": Kernel(has=("QGMMA", "UTMALDG", "LDGSTS", "ACQBULK", "PREEXIT"), but=("row_operand",),
                                                                 registers=168),
    }),
    # Rows that are not quantised: the step up of three terms a row.
    Gate("tests/gpu_gates/units/layer.cu", flags=("-DPORTABLE", "-DUNQUANTISED"), seconds=20, kernels={
        "": Kernel(**WAITS),
        "up_arguments": Kernel(has=(r"HMMA.16816.F32.BF16",)),
    }),
    # E4M3 rows times E4M3 weights are QMMA where the tensor cores have it, and bf16 elsewhere (operands.hpp).
    *(Gate("tests/gpu_gates/units/layer.cu", arch=arch, flags=("-DPORTABLE",), seconds=20, kernels={
        "": Kernel(**waits),
        "panel_tileINS0_14quantized_rows": Kernel(has=(mma,), lacks=(other,)),
        "gemm_argumentsINS0_14quantized_rowsIfEELNS0_13weight_formatE2": Kernel(has=(mma,), lacks=(other,)),
        "up_arguments": Kernel(has=(mma,), lacks=(other,)),
    }) for arch, mma, other, waits in (("80", "HMMA", "QMMA", CANNOT_WAIT), ("89", "QMMA", "HMMA", CANNOT_WAIT),
                                      ("100a", "HMMA", "QMMA", WAITS), ("120a", "QMMA", "HMMA", WAITS))),
]
