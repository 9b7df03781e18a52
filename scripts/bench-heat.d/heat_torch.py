"""One training step of a HEAT residual (Lafon et al., ICML 2023) in PyTorch, as its users would write it to be fast.

    heat_torch.py check              compares with golden values; exit status 1 when one differs
    heat_torch.py serve --threads N  answers each line of standard input with a step: {"step_s": …, "cpu_s": …}

The step: start N chains at samples of a Gaussian mixture with one covariance, move them by Langevin dynamics under
E(z) = f(z)/T + E_prior(z)/T_prior on the positive part of the unit sphere, and change f by Adam so that its energy falls
at the data and rises at the chains' starts and ends. Nothing is computed that the result does not need:
parameters are frozen in the sampler, and the prior's gradient is written out (one product more than its value).

With --published-way the sampler does what the authors' published code does, in our words: the mixture is one of
torch.distributions, its gradient comes from autograd, and step sizes multiply rows by way of a diagonal matrix.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Constants:
    """The authors' values for CIFAR-10 and the mixture over `avg`."""

    steps: int = 40
    step_size: float = 1e-4
    noise: float = 5e-3
    anneal: float = 0.1
    prior_temperature: float = 1e3
    data_noise: float = 1e-4
    l2: float = 10.0
    learning_rate: float = 1e-5
    normalize: bool = True

    def schedule(self, start):
        end = self.anneal * start
        return [(start - end) * (1 - t / self.steps) ** 2 + end for t in range(self.steps)]


class Residual(nn.Module):
    """f: one hidden layer, applied `depth` times, between an input and an output layer; leaky ReLU of slope 0.2."""

    def __init__(self, features, hidden, depth):
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)
        self.depth = depth

    def forward(self, z):
        h = functional.leaky_relu(self.first(z), 0.2, inplace=True)
        for _ in range(self.depth):
            h = functional.leaky_relu(self.middle(h), 0.2, inplace=True)
        return self.last(h).squeeze(1)


class MixturePrior:
    """-log Σ_c π_c N(z; μ_c, Σ) up to a constant, by the inverse `whitening` of the covariance's Cholesky factor."""

    def __init__(self, means, factor, shares):
        self.means, self.factor, self.shares = means, factor, shares
        self.whitening = torch.linalg.inv(factor)
        self.centres = means @ self.whitening.T
        self.offsets = shares.log() - self.centres.square().sum(1) / 2

    def gradient(self, z):
        """Of the energy with respect to each row: Wᵀ (W z − Σ_c r_c W μ_c), r the responsibilities."""
        white = z @ self.whitening.T
        responsibilities = torch.softmax(torch.addmm(self.offsets, white, self.centres.T), 1)
        return torch.addmm(white, responsibilities, self.centres, alpha=-1) @ self.whitening

    def sample(self, rows):
        classes = torch.multinomial(self.shares, rows, replacement=True)
        return torch.randn(rows, self.means.shape[1]) @ self.factor.T + self.means[classes]


def project(z, constants):
    z = z.relu_()
    return functional.normalize(z, dim=1) if constants.normalize else z


def chains(residual, prior_gradient, start, constants):
    """The ends of the chains, then their projected starts."""
    start = z = project(start, constants)
    schedules = zip(constants.schedule(constants.step_size), constants.schedule(constants.noise))
    residual.requires_grad_(False)
    for step_size, noise in schedules:
        z = z.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(residual(z).sum(), z)
        with torch.no_grad():
            gradient.add_(prior_gradient(z), alpha=1 / constants.prior_temperature)
            moved = torch.add(z, gradient, alpha=-step_size)
            if noise > 0:
                moved.add_(torch.randn_like(moved), alpha=noise)
            z = project(moved, constants)
    residual.requires_grad_(True)
    return torch.cat([z, start])


def chains_published_way(residual, prior, start, constants):
    """As `chains`, with the products of the authors' code."""
    count = len(prior.shares)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(prior.shares),
        torch.distributions.MultivariateNormal(prior.means, scale_tril=prior.factor.expand(count, -1, -1)),
    )
    start = z = project(start, constants)
    schedules = zip(constants.schedule(constants.step_size), constants.schedule(constants.noise))
    residual.requires_grad_(False)
    for step_size, noise in schedules:
        z = z.detach().requires_grad_(True)
        energy = residual(z) - mixture.log_prob(z) / constants.prior_temperature
        (gradient,) = torch.autograd.grad(energy.sum(), z)
        with torch.no_grad():
            # Of ones, as published: every row has the same step.
            rows = torch.ones(len(z))
            moved = z - torch.diag(step_size * rows) @ gradient - torch.diag(noise * rows) @ torch.randn_like(z)
            z = project(moved, constants)
    residual.requires_grad_(True)
    return torch.cat([z, start])


def contrast(residual, data, negatives, constants):
    """Contrastive divergence with squared energies as the penalty."""
    rows = torch.cat([data, negatives])
    if constants.data_noise > 0:
        rows = rows + constants.data_noise * torch.randn_like(rows)
    real, generated = residual(rows).split([len(data), len(negatives)])
    penalty = real.square().mean() + generated.square().mean()
    return real.mean() - generated.mean() + constants.l2 * penalty


def optimiser(residual, constants):
    return torch.optim.Adam(residual.parameters(), lr=constants.learning_rate, betas=(0.0, 0.999))


def train_step(residual, adam, prior, data, start, constants, published_way=False):
    if published_way:
        negatives = chains_published_way(residual, prior, start, constants)
    else:
        negatives = chains(residual, prior.gradient, start, constants)
    adam.zero_grad(set_to_none=True)
    loss = contrast(residual, data, negatives, constants)
    loss.backward()
    adam.step()
    return loss


# Golden values: generated rows and parameters by sines, computed with the authors' code.
def wave(rows, columns, offset):
    i, j = torch.arange(rows, dtype=torch.float64)[:, None], torch.arange(columns, dtype=torch.float64)
    return torch.sin(1 + offset + 0.7 * i + 1.3 * j + 0.37 * i * j).float()


def golden_residual():
    residual = Residual(4, 8, 2)
    layers = [residual.first, residual.middle, residual.last]
    with torch.no_grad():
        for k, tensor in enumerate(p for layer in layers for p in (layer.weight, layer.bias)):
            fan = tensor.shape[1] if tensor.dim() == 2 else 8
            entries = torch.sin(0.5 + 0.9 * torch.arange(tensor.numel(), dtype=torch.float64) + 0.3 * k)
            tensor.copy_((entries / math.sqrt(fan)).view_as(tensor))
    return residual


def golden_prior():
    labels = torch.arange(25) % 3
    rows = wave(25, 4, 0)
    rows += 1.5 * functional.one_hot(labels, 4)
    rows = functional.normalize(rows, dim=1).double()
    means = torch.stack([rows[labels == c].mean(0) for c in range(3)])
    apart = rows - means[labels]
    factor = torch.linalg.cholesky(apart.T @ apart / 25 + 1e-12 * torch.eye(4, dtype=torch.float64))
    shares = torch.bincount(labels) / 25
    return MixturePrior(means.float(), factor.float(), shares)


GOLDEN_MIXTURE_CHAINS = [
    [0.988195, 0.153201, 0, 0],
    [0.804664, 0, 0, 0.59373],
    [0.164524, 0, 0.834611, 0.525697],
    [0, 0, 0.999542, 0.0302625],
    [0, 0.994095, 0, 0.108512],
    [0.947971, 0.318357, 0, 0],
    [0.710959, 0, 0, 0.703234],
    [0.302821, 0, 0.812306, 0.498456],
    [0, 0, 1, 0],
    [0, 0.994751, 0, 0.102326],
]
GOLDEN_LOGIT_CHAINS = [
    [1.92723, 0.30695, 0, 0.0703073],
    [1.58314, 0, 0, 1.78605],
    [0.22031, 0, 1.41741, 0.916549],
    [0, 0, 1.89375, 0],
    [0, 1.2776, 0.12454, 0.00806468],
]
GOLDEN_BIAS_GRADIENT = [41.1181, 33.3862, -5.81088, -6.58069, -8.25891, -3.68695, 18.3761, 41.2803]
GOLDEN_AFTER_STEP = [1.18645, 1.21441, 1.19303, 1.33654, 1.29777]


def check():
    """Noiseless chains, the loss, its gradient and one step of Adam."""
    constants = Constants(
        steps=3, step_size=0.2, noise=0.0, prior_temperature=10.0, data_noise=0.0, learning_rate=1e-2
    )
    residual, prior = golden_residual(), golden_prior()
    queries = 2 * wave(5, 4, 0.5)
    data = functional.normalize(queries, dim=1)
    failures = 0

    def compare(what, ours, golden):
        nonlocal failures
        ours, golden = torch.as_tensor(ours).detach(), torch.tensor(golden)
        same = torch.allclose(ours, golden, rtol=1e-4, atol=2e-6)
        failures += not same
        print(f"{'same' if same else 'DIFFERENT'}: {what}")

    negatives = chains(residual, prior.gradient, queries.clone(), constants)
    compare("chains of the mixture", negatives, GOLDEN_MIXTURE_CHAINS)
    negatives = chains_published_way(residual, prior, queries.clone(), constants)
    compare("chains of the mixture, the published way", negatives, GOLDEN_MIXTURE_CHAINS)

    weights, bias = wave(3, 4, 2), torch.tensor([0.1, -0.2, 0.3])
    logits = Constants(steps=3, step_size=0.2, noise=0.0, prior_temperature=1.0, normalize=False)
    ends = chains(
        residual, lambda z: -torch.softmax(z @ weights.T + bias, 1) @ weights, queries.clone(), logits
    )
    compare("chains of the logits' energy", ends[:5], GOLDEN_LOGIT_CHAINS)

    adam = optimiser(residual, constants)
    loss = train_step(residual, adam, prior, data, queries.clone(), constants)
    compare("loss", loss, 44.1145)
    compare("gradient of the output's bias", residual.last.bias.grad, [59.3505])
    compare("gradient of the tied bias", residual.middle.bias.grad, GOLDEN_BIAS_GRADIENT)
    compare("energies after a step", residual(data), GOLDEN_AFTER_STEP)
    return failures


def random_prior(features, classes):
    """A well-conditioned mixture: what it is matters little for the time, but chains must not diverge."""
    spread = torch.randn(2 * features, features)
    factor = torch.linalg.cholesky(spread.T @ spread / (2 * features)) / math.sqrt(features)
    means = torch.rand(classes, features) / math.sqrt(features)
    return MixturePrior(means, factor, torch.full((classes,), 1 / classes))


def serve(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    constants = Constants(steps=args.steps)
    residual = Residual(args.features, args.hidden, args.depth)
    prior = random_prior(args.features, args.classes)
    adam = optimiser(residual, constants)
    if args.compile:
        residual.compile()
    print(f"ready {torch.__version__}", flush=True)
    for _ in sys.stdin:
        data = functional.normalize(prior.sample(args.batch).relu_(), dim=1)
        begin, begin_cpu = time.perf_counter(), time.process_time()
        train_step(residual, adam, prior, data, prior.sample(args.batch), constants, args.published_way)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        print(json.dumps({"step_s": seconds, "cpu_s": cpu}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["check", "serve"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile the residual with torch.compile")
    parser.add_argument("--published-way", action="store_true", help="the sampler as its authors wrote it")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    if args.what == "check":
        sys.exit(1 if check() else 0)
    serve(args)


if __name__ == "__main__":
    main()
