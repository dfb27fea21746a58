# Makes optimizers.json: five steps of PyTorch's optimizers on twenty parameters, in double precision.
# SPDX-License-Identifier: Apache-2.0
#
# usage: python optimizers.py > optimizers.json
# Parameters, gradients and learning rates are multiples of 2^-10, so that they are the same in f32.
import json

import torch

STEPS, SIZE, LR = 5, 20, 2.0**-6
BOUND = 2.5

RUNS = {
    "adamw": (torch.optim.AdamW, {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-8, "weight_decay": 0.05}),
    "rmsprop_momentum": (torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-8, "momentum": 0.8}),
    "sgd": (torch.optim.SGD, {"weight_decay": 0.1}),
    "sgd_momentum": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "sgd_nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
}


def grid(generator, *shape):
    return torch.randint(-1024, 1025, shape, generator=generator).double() / 1024


def main():
    generator = torch.Generator().manual_seed(11)
    start, grads = grid(generator, SIZE), grid(generator, STEPS, SIZE)
    golden = {
        "torch": torch.__version__.split("+")[0],
        "lr": LR,
        "max_norm": BOUND,
        "start": start.tolist(),
        "grads": grads.tolist(),
        "norms": [],
        "runs": {},
    }
    for name, (optimizer_class, options) in RUNS.items():
        param = start.clone().requires_grad_()
        optimizer = optimizer_class([param], lr=LR, **options)
        steps = []
        for grad in grads:
            param.grad = grad.clone()
            norm = torch.nn.utils.clip_grad_norm_([param], BOUND)
            if len(golden["norms"]) < STEPS:
                golden["norms"].append(norm.item())
            optimizer.step()
            steps.append(param.tolist())
        golden["runs"][name] = steps
    print(json.dumps(golden, indent=1))


if __name__ == "__main__":
    main()
