"""Compares the latency of oddsight and its peers; see scripts/bench-peers."""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS_DIR = ROOT / "target" / "peers"
MODELS_DIR = PEERS_DIR / "models"
SIZES = {"resnet18-32": (32, 32), "resnet18-224": (224, 224), "resnet50-224": (224, 224)}
SUBJECT = "oddsight int8"
PEERS = [
    SUBJECT,
    "onnxruntime int8",
    "onnxruntime float",
    "tract float",
    "tract int8",
    "rten float",
    "rten int8",
]


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__)

    def words(text):
        return text.split(",")

    def numbers(text):
        return [int(word) for word in words(text)]

    parser.add_argument("--models", type=words, default=list(SIZES), help=f"of {','.join(SIZES)}")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="by default 1,2")
    parser.add_argument("--peers", type=words, default=PEERS, help="of " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--slice-ms", type=int, default=250, help="time of one peer in one round")
    parser.add_argument("--kernel", default="default", help="oddsight's int8 kernel")
    parser.add_argument("--quantizer", choices=["onnxruntime", "oddsight"], default="onnxruntime")
    parser.add_argument("--profile", choices=["dev", "release", "dist"], default="release")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    args = parser.parse_args()
    for name in set(args.models) - set(SIZES):
        parser.error(f"`{name}` is no model; choose of {', '.join(SIZES)}")
    for name in set(args.peers) - set(PEERS):
        parser.error(f"`{name}` is no peer; choose of {', '.join(PEERS)}")
    args.peers = [SUBJECT] + [peer for peer in args.peers if peer != SUBJECT]
    return args


def build(args):
    """The programs; a build of the whole workspace, so that tract is not compiled anew."""
    profile = ["--profile", args.profile]
    run(["cargo", "build", "--locked", "--workspace", "--bins", "--examples", *profile], ROOT)
    if any(peer.startswith("rten") for peer in args.peers):
        target = ["--target-dir", PEERS_DIR / "rten"]
        run(["cargo", "build", "--locked", "--release", *target], HERE / "rten")
    maker = [sys.executable, "scripts/make-bench-models.py", MODELS_DIR, *args.models]
    trainer = programs(args) / "oddsight-train"
    run([*maker, "--quantizer", args.quantizer, "--trainer", trainer], ROOT)


def run(command, where):
    subprocess.run([str(word) for word in command], check=True, cwd=where)


def programs(args):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / ("debug" if args.profile == "dev" else args.profile)


def command(args, peer, model, threads):
    examples = programs(args) / "examples"
    kind = args.quantizer if peer.endswith("int8") else "float"
    onnx, size = MODELS_DIR / f"{model}.{kind}.onnx", SIZES[model]
    given = [onnx, MODELS_DIR / f"{model}.input", *size]
    match peer.split()[0]:
        case "oddsight":
            picture = MODELS_DIR / f"{model}.picture"
            how = ["--threads", threads, "--kernel", args.kernel]
            return [examples / "peer_oddsight", onnx, picture, *size, *how]
        case "tract":
            return [examples / "tract_float", *given]
        case "rten":
            return [PEERS_DIR / "rten" / "release" / "rten-peer", *given, threads]
        case _:
            return [sys.executable, HERE / "onnxruntime_peer.py", *given, threads]


class Process:
    """A peer that waits for requests; see examples/support/serve.rs."""

    def __init__(self, words):
        pipe = subprocess.PIPE
        words = [str(word) for word in words]
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self.runs = 1
        if self.process.stdout.readline().strip() != "ready":
            self.process.wait()
            raise RuntimeError(f"it does not start: {' '.join(words)}")

    def ask(self, request):
        self.process.stdin.write(f"{request}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"no answer to `{request}`")
        return answer

    def slice(self):
        """Median milliseconds of one inference, over a slice."""
        return statistics.median(int(ns) for ns in self.ask(f"run {self.runs}")) / 1e6

    def warm_up(self, slice_ms):
        self.ask("run 2")
        self.runs = max(3, round(slice_ms / self.slice()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(args, model, threads):
    """Every peer's median of each round, in turn; one that does not run the model is left out."""
    processes, failed = {}, {}
    for peer in args.peers:
        try:
            processes[peer] = Process(command(args, peer, model, threads))
        except RuntimeError as e:
            failed[peer] = str(e)
    try:
        logits = {peer: list(map(float, p.ask("logits"))) for peer, p in processes.items()}
        for process in processes.values():
            process.warm_up(args.slice_ms)
        rounds = {peer: [] for peer in processes}
        order, random = list(processes), Random(1)
        for _ in range(args.rounds):
            # Nobody always follows the same neighbour.
            random.shuffle(order)
            for peer in order:
                rounds[peer].append(processes[peer].slice())
    finally:
        for process in processes.values():
            process.close()
    exact = logits.get("onnxruntime float")
    rows = [row(peer, rounds, angle(logits[peer], exact) if exact else None) for peer in rounds]
    return {"failed": failed, "rows": rows}


def row(peer, rounds, degrees):
    ratios = [own / other for own, other in zip(rounds.get(SUBJECT, []), rounds[peer])]
    ratio = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)} if ratios else None
    return {
        "peer": peer,
        "median_ms": statistics.median(rounds[peer]),
        "rounds_ms": rounds[peer],
        "ratio": ratio,
        "degrees_from_float": degrees,
    }


def angle(a, b):
    """Degrees between two vectors of logits: the same answer, whatever its scale, has 0."""
    dot = sum(x * y for x, y in zip(a, b))
    norms = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return math.degrees(math.acos(max(-1.0, min(1.0, dot / norms)))) if norms else math.nan


def locked_version(lock, package):
    packages = tomllib.loads((ROOT / lock).read_text())["package"]
    return next(p["version"] for p in packages if p["name"] == package)


def machine():
    """The processor and those of its instruction sets that int8 kernels use."""
    wanted = ["avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp"]
    model, flags = platform.processor() or platform.machine(), []
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip().lower() in ("flags", "features"):
                flags = value.split()
    found = [flag for flag in wanted if flag in flags]
    return {"model": model, "cores": os.cpu_count(), "instructions": found}


def heading(args):
    about = {
        "machine": machine(),
        "profile": args.profile,
        "quantizer": args.quantizer,
        "kernel": args.kernel,
        "rounds": args.rounds,
        "slice_ms": args.slice_ms,
        "versions": {
            "onnxruntime": version("onnxruntime"),
            "rten": locked_version("scripts/bench-peers.d/rten/Cargo.lock", "rten"),
            "tract": locked_version("Cargo.lock", "tract-core"),
        },
    }
    m, versions = about["machine"], ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    print(f"{m['model']}, {m['cores']} cores, {' '.join(m['instructions'])}")
    print(f"{versions}; oddsight as `{args.profile}`, kernel {args.kernel}; int8 files by {args.quantizer}")
    print(
        f"medians of {args.rounds} rounds of {args.slice_ms} ms each, all peers in turn; ratio: oddsight's time by"
    )
    print("the peer's within a round, median (least … greatest); angle: between the logits and float ones\n")
    return about


def show(model, threads, result):
    print(f"{model}, {threads} thread{'s' if threads > 1 else ''}")
    for entry in result["rows"]:
        ratio, degrees = entry["ratio"], entry["degrees_from_float"]
        spread = f"{ratio['median']:7.3f} ({ratio['min']:.3f} … {ratio['max']:.3f})" if ratio else ""
        turned = "" if degrees is None else f"{degrees:6.2f}°"
        alone = " (one thread)" if threads > 1 and entry["peer"].startswith("tract") else ""
        print(f"  {entry['peer'] + alone:30} {entry['median_ms']:9.3f} ms {spread:28} {turned}".rstrip())
    for peer, why in result["failed"].items():
        print(f"  {peer:30} left out: {why}")
    print(flush=True)


def main():
    args = parse()
    build(args)
    about, results = heading(args), []
    for model in args.models:
        for threads in args.threads:
            result = compare(args, model, threads)
            show(model, threads, result)
            results.append({"model": model, "threads": threads, **result})
    if args.json:
        args.json.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    if any(SUBJECT in result["failed"] for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
