"""Compiles every kernel of a folder with NVRTC, for each of the architectures named after it; needs no GPU.

    python tests/cuda/compile.py FOLDER sm_80 sm_90a

NVRTC comes with CUDA, or from PyPI: pip install --no-deps nvidia-cuda-nvrtc==13.0.88
Prints a line for each kernel that fails, and how many were compiled; `skipped: why` if there is no NVRTC.
"""

import ctypes
import glob
import importlib.util
import os
import sys


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


def compiled(nvrtc, text, arch):
    """What NVRTC says against the text; nothing if it compiles."""
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernel.cu", 0, None, None)
    options = [f"--gpu-architecture={arch}".encode(), b"--fmad=false", b"--std=c++17"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    length = ctypes.c_size_t()
    if status == 0:
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(length))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if status != 0:
        return log.value.decode(errors="replace")
    return "" if length.value > 0 else "there is no machine code"


def main():
    folder, architectures = sys.argv[1], sys.argv[2:]
    nvrtc = library()
    if nvrtc is None:
        print("skipped: there is no NVRTC")
        return 0
    n_compiled = n_failed = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.cu"))):
        with open(path, "rb") as file:
            text = file.read()
        for arch in architectures:
            problem = compiled(nvrtc, text, arch)
            if problem:
                n_failed += 1
                print(f"{os.path.basename(path)} for {arch}: {problem}")
            else:
                n_compiled += 1
    print(f"compiled {n_compiled}, failed {n_failed}")
    return 1 if n_failed or not n_compiled else 0


if __name__ == "__main__":
    sys.exit(main())
