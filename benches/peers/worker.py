"""One peer in a process of its own: loads a row, computes it once, then makes calls when it is told to.

    python worker.py ENGINE FOLDER THREADS f32|bf16 OUTPUT.npz

The protocol is that of `tw bench --paced`: a line of JSON with facts, then for every line on stdin, a number of calls, a line
with the seconds of each.
"""

from __future__ import annotations

import time

BEGIN = time.perf_counter()

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Feeds = dict[str, np.ndarray]
Call = Callable[[], Any]
Read = Callable[[Any], list[np.ndarray]]


def onnxruntime(folder: Path, feeds: Feeds, threads: int) -> tuple[str, Call, Read]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for port in session.get_inputs():
        binding.bind_cpu_input(port.name, feeds[port.name])
    for port in session.get_outputs():
        binding.bind_output(port.name)
    return ort.__version__, lambda: session.run_with_iobinding(binding), lambda _: binding.copy_outputs_to_cpu()


def openvino(folder: Path, feeds: Feeds, threads: int, precision: str = "f32") -> tuple[str, Call, Read]:
    import openvino as ov

    config = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    compiled = ov.Core().compile_model(folder / "model.onnx", "CPU", config)
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        # A step that does nothing to an input leaves its own name beside the input's.
        name = next(name for name in port.names if name in feeds)
        request.set_tensor(port, ov.Tensor(feeds[name], shared_memory=True))
    n_outputs = len(compiled.outputs)
    return ov.__version__, request.infer, lambda _: [request.get_output_tensor(i).data for i in range(n_outputs)]


def pytorch(folder: Path, feeds: Feeds, threads: int, inductor: bool = False) -> tuple[str, Call, Read]:
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "goldens"))
    torch.set_num_threads(threads)
    torch.inference_mode().__enter__()
    torch.set_grad_enabled(False)
    module = torch.load(folder / "module.pt", weights_only=False)
    if inductor:
        from torch._inductor import config

        config.freezing = True
        module = torch.compile(module)
    tensors = [torch.from_numpy(feed) for feed in feeds.values()]

    def read(result: Any) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in (result if isinstance(result, tuple) else (result,))]

    return torch.__version__, lambda: module(*tensors), read


def inductor(folder: Path, feeds: Feeds, threads: int) -> tuple[str, Call, Read]:
    return pytorch(folder, feeds, threads, inductor=True)


def jax(folder: Path, feeds: Feeds, threads: int) -> tuple[str, Call, Read]:
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
    import jax
    from safetensors.numpy import load_file

    import kernels_jax

    kernel = json.loads((folder / "meta.json").read_text())["kernel"]
    weights = {name: jax.device_put(value) for name, value in load_file(folder / "weights.safetensors").items()}
    call = jax.jit(kernels_jax.function(kernel, weights))
    arrays = [jax.device_put(feed) for feed in feeds.values()]
    return jax.__version__, lambda: call(*arrays).block_until_ready(), lambda result: [np.asarray(result)]


def iree(folder: Path, feeds: Feeds, threads: int) -> tuple[str, Call, Read]:
    from importlib.metadata import version

    from iree import compiler, runtime
    from iree.compiler.tools.import_onnx import __main__ as importer

    runtime.flags.parse_flags(f"--task_topology_group_count={threads}")
    text, binary = folder / "model.mlir", folder / "model.vmfb"
    if not binary.exists() or binary.stat().st_mtime < (folder / "model.onnx").stat().st_mtime:
        importer.main(importer.parse_arguments([str(folder / "model.onnx"), "-o", str(text)]))
        flags = ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3", "--iree-input-type=onnx"]
        compiler.compile_file(str(text), target_backends=["llvm-cpu"], extra_args=flags, output_file=str(binary))
    config = runtime.Config("local-task")
    module = runtime.load_vm_module(runtime.VmModule.mmap(config.vm_instance, str(binary)), config)
    function = module[module.vm_module.function_names[0].removesuffix("$async")]
    arrays = [runtime.asdevicearray(config.device, feed) for feed in feeds.values()]

    def read(result: Any) -> list[np.ndarray]:
        return [array.to_host() for array in (result if isinstance(result, tuple) else (result,))]

    return version("iree-base-runtime"), lambda: function(*arrays), read


def tract(folder: Path, feeds: Feeds, threads: int) -> tuple[str, Call, Read]:
    import tract

    if threads > 1:
        raise NotImplementedError("it computes on one thread")
    model = tract.onnx().load(str(folder / "model.onnx")).into_model().into_runnable()
    arrays = [tract.Tensor.from_numpy(feed) for feed in feeds.values()]
    return tract.version(), lambda: model.run(arrays), lambda result: [tensor.to_numpy() for tensor in result]


ENGINES = {f.__name__: f for f in (onnxruntime, openvino, pytorch, inductor, jax, iree, tract)}


def main(engine: str, folder: Path, threads: int, precision: str, output: Path) -> None:
    feeds = dict(np.load(folder / "feeds.npz"))
    # Only those that have a choice are told.
    choice = {} if precision == "f32" else {"precision": precision}
    version, call, read = ENGINES[engine](folder, feeds, threads, **choice)
    results = read(call())
    started = time.perf_counter() - BEGIN
    names = json.loads((folder / "meta.json").read_text())["outputs"]
    np.savez(output, **dict(zip(names, results)))
    print(json.dumps({"start_seconds": started, "version": version}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
