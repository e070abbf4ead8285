"""Compiles every kernel of a folder with NVRTC, for each of the architectures named after it; needs no GPU.

    python tests/cuda/compile.py FOLDER sm_80 sm_90a

NVRTC comes with CUDA, or from PyPI: pip install --no-deps nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-nvdisasm==13.5.37
A kernel fails that does not compile, that spills registers, or that multiplies matrices without the instruction for it.
Prints a line for each, and how many were compiled, and how many machine codes hold that instruction; `skipped: why` if
there is no NVRTC, or no nvdisasm to read machine code with.
"""

import ctypes
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile


def library():
    """NVRTC's library; None if there is none."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec else []:
        for builtins in glob.glob(os.path.join(root, "*", "lib", "libnvrtc-builtins.so*")):
            ctypes.CDLL(builtins)
        for path in sorted(glob.glob(os.path.join(root, "*", "lib", "libnvrtc.so*"))):
            return ctypes.CDLL(path)
    try:
        return ctypes.CDLL("libnvrtc.so")
    except OSError:
        return None


def disassembler():
    """Where nvdisasm is; None if it is nowhere."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec else []:
        for path in glob.glob(os.path.join(root, "*", "bin", "nvdisasm")):
            return path
    return shutil.which("nvdisasm")


def compiled(nvrtc, text, arch):
    """The machine code, and what NVRTC says of it, or against the text."""
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernel.cu", 0, None, None)
    options = [f"--gpu-architecture={arch}".encode(), b"--fmad=false", b"--std=c++17", b"--ptxas-options=-v"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    code = ctypes.create_string_buffer(0)
    if status == 0:
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw if status == 0 else b"", log.value.decode(errors="replace")


def problem_of(code, log):
    """What is wrong with it; nothing if all is well."""
    if not code:
        return log or "there is no machine code"
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
    if not spills:
        return "nothing is said of spills: " + log
    return f"it spills registers: {log}" if any(int(bytes) for bytes in spills) else ""


def instructions(nvdisasm, code):
    """The machine code as text."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        return subprocess.run([nvdisasm, "-c", file.name], capture_output=True, text=True, check=True).stdout


def main():
    folder, architectures = sys.argv[1], sys.argv[2:]
    nvrtc, nvdisasm = library(), disassembler()
    if nvrtc is None:
        print("skipped: there is no NVRTC")
        return 0
    if nvdisasm is None:
        print("skipped: there is no nvdisasm, so machine code is not read")
    n_compiled = n_failed = n_products = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.cu"))):
        with open(path, "rb") as file:
            text = file.read()
        has_products = re.search(rb"^ +mma_", text, re.MULTILINE) is not None
        for arch in architectures:
            code, log = compiled(nvrtc, text, arch)
            problem = problem_of(code, log)
            if not problem and has_products and nvdisasm:
                n_products += 1
                problem = "" if "HMMA" in instructions(nvdisasm, code) else "no HMMA is in its machine code"
            if problem:
                n_failed += 1
                print(f"{os.path.basename(path)} for {arch}: {problem}")
            else:
                n_compiled += 1
    print(f"compiled {n_compiled}, failed {n_failed}, with HMMA {n_products}")
    return 1 if n_failed or not n_compiled else 0


if __name__ == "__main__":
    sys.exit(main())
