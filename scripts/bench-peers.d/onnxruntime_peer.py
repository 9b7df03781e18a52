"""onnxruntime as a peer of `scripts/bench-peers`.

    onnxruntime_peer.py MODEL.onnx INPUT WIDTH HEIGHT THREADS

INPUT holds 3 x HEIGHT x WIDTH little-endian floats. Default graph optimisation; input and output are bound to
memory once, so that Python's share of a run is a call.
"""

import sys
import time

import numpy as np
import onnxruntime

model, path, width, height, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
image = np.fromfile(path, "<f4").reshape(1, 3, int(height), int(width))
binding = session.io_binding()
binding.bind_ortvalue_input(session.get_inputs()[0].name, onnxruntime.OrtValue.ortvalue_from_numpy(image))
binding.bind_output(session.get_outputs()[0].name)


def infer():
    start = time.perf_counter_ns()
    session.run_with_iobinding(binding)
    return time.perf_counter_ns() - start


print("ready", flush=True)
for line in sys.stdin:
    match line.split():
        case ["run", count]:
            answer = [infer() for _ in range(int(count))]
        case ["logits"]:
            infer()
            answer = binding.copy_outputs_to_cpu()[0].ravel().tolist()
        case _:
            sys.exit(f"`{line.strip()}` is no request; `run N` and `logits` are")
    print(*answer, flush=True)
