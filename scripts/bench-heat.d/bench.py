"""Compares one training step of a HEAT residual with PyTorch; see scripts/bench-heat."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEER = [sys.executable, str(HERE / "heat_torch.py")]


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench-heat", description=__doc__)
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="steps of each, in turn (default 5)")
    parser.add_argument("--compile", action="store_true", help="also PyTorch with torch.compile")
    parser.add_argument("--published-way", action="store_true", help="also the way of the authors' code")
    parser.add_argument("--only-torch", action="store_true", help="leave oddsight-train out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    return parser.parse_args()


class Torch:
    """A process that waits for requests, so that nothing is started or compiled within a round."""

    def __init__(self, threads, *options):
        words = [*PEER, "serve", "--threads", str(threads), *options]
        # A thread that spins while it waits takes the time of the others on a busy machine.
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment
        )
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"it does not start: {' '.join(words)}")
        self.version = answer[1]

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("PyTorch has stopped: see its message above")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Oddsight:
    """Our program, which prints a line of JSON per step until it is ended."""

    def __init__(self, threads):
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        program = target / "release" / "examples" / "heat_step"
        self.words = [str(program), "--threads", str(threads), "--json"]

    def step(self):
        """The second step: the first one touches its memory for the first time."""
        process = subprocess.Popen(self.words, stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(2)]
        process.kill()
        process.wait()
        if not lines[1]:
            sys.exit(f"it ends before its second step: {' '.join(self.words)}")
        return json.loads(lines[1])

    def close(self):
        pass


def compare(args, threads):
    """The steps of each, in turn."""
    ours = {} if args.only_torch else {"oddsight-train": Oddsight(threads)}
    torch = Torch(threads)
    competitors = {**ours, f"PyTorch {torch.version}": torch}
    if args.compile:
        competitors[f"PyTorch {torch.version}, compiled"] = Torch(threads, "--compile")
    if args.published_way:
        competitors["PyTorch, the published way"] = Torch(threads, "--published-way")
    steps = {name: [] for name in competitors}
    try:
        for round in range(-1, args.rounds):
            for name, competitor in competitors.items():
                step = competitor.step()
                # The first round compiles, plans and touches memory.
                if round >= 0:
                    steps[name].append({**step, "load": os.getloadavg()[0]})
    finally:
        for competitor in competitors.values():
            competitor.close()
    return steps


def show(threads, steps):
    own = steps.get("oddsight-train", [])
    gflop = own[0]["gflop"] if own else None
    peaks = [step["peak_gflop_per_s"] for step in own if "peak_gflop_per_s" in step]
    print(f"{threads} thread{'s' if threads > 1 else ''}", end="")
    if peaks:
        print(f"; peak of fused multiply-adds {statistics.median(peaks):.0f} GFLOP/s", end="")
    print()
    for name, entries in steps.items():
        seconds = statistics.median(step["step_s"] for step in entries)
        line = f"  {name:28} {seconds:8.3f} s"
        if gflop:
            line += f" {gflop / seconds:8.1f} GFLOP/s"
        if peaks:
            line += f" {gflop / seconds / statistics.median(peaks):5.0%} of the peak"
        if own and entries is not own:
            ratios = [theirs["step_s"] / ours["step_s"] for ours, theirs in zip(own, entries)]
            low, high = min(ratios), max(ratios)
            line += f"   {statistics.median(ratios):.2f} times ours ({low:.2f} … {high:.2f})"
        cpu = [step["cpu_s"] for step in entries if "cpu_s" in step]
        if cpu:
            line += f"   {statistics.median(cpu):.3f} s of processor time"
        loads = [step["load"] for step in entries]
        print(f"{line}   load {min(loads):.1f} … {max(loads):.1f}")
    print(flush=True)


def main():
    args = parse()
    subprocess.run([*PEER, "check"], check=True)
    if not args.only_torch:
        build = ["cargo", "build", "--locked", "--release", "--workspace", "--example", "heat_step"]
        subprocess.run(build, check=True, cwd=ROOT)
    print("one step: 1,024 rows of 256 features, 40 Langevin steps, hidden layers 4 × 1,024 tied, 10 classes")
    print(f"medians of {args.rounds} rounds in which all take turns\n")
    results = []
    for threads in args.threads:
        steps = compare(args, threads)
        show(threads, steps)
        results.append({"threads": threads, "steps": steps})
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
